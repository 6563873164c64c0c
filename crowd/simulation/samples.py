"""Real photographs for demo and tests, read out of installed packages; this repository keeps none."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

# Where each package keeps its picture. The first two show dressed people, the other two no fashion at all.
PHOTOGRAPHS = (
    ("skimage", "data/astronaut.png"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
)


def sample_photographs() -> Iterator[tuple[str, bytes]]:
    """Yields (file name, bytes) of each photograph at hand; packages not installed are passed over."""
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
