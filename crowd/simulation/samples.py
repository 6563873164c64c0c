"""Real photographs for demo and tests, read out of installed packages; none of them is kept in this repository."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

# Where each package keeps its picture; an astronaut and an admiral are dressed people, the other two are not fashion.
PHOTOGRAPHS = (
    ("skimage", "data/astronaut.png"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
)


def sample_photographs() -> Iterator[tuple[str, bytes]]:
    """Yields (file name, bytes) of each photograph at hand; a package that is not installed is passed over."""
    for package, path in PHOTOGRAPHS:
        file = _packaged_file(package, path)
        if file:
            yield file.name, file.read_bytes()


def _packaged_file(package: str, path: str) -> Path | None:
    # The finder tells where a package lies without running it; importing these three would take seconds.
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(folder, path)
        if file.is_file():
            return file
    return None
