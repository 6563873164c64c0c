"""Peak memory of exports and imports, from few images to many: what grows with their number.

Pictures are small, for their size does not matter here. Each export and each import is a process of its own.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.data import exporting, importing
from benchmarks.data.lines import Line
from crowd.datasets.formats import FORMATS

FLATTER = 1.1
WIDTH = 64


def both(given: argparse.Namespace) -> list[Line]:
    """Exports in every format, and the import."""
    return [*exports(given), *imports(given)]


def exports(given: argparse.Namespace) -> list[Line]:
    """The peak of an export of many images beside one of few, for each format."""
    names = given.formats or list(FORMATS)
    peaks: dict[str, list[int]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        for images in (given.few, given.many):
            folder = Path(made, str(images))
            exporting.build(folder, images, width=WIDTH).db.close()
            for name in names:
                peaks[name].append(_peak(folder, name, Path(made, "out")))
            shutil.rmtree(folder)
    return [_line(f"export, {name}", few, many, given) for name, (few, many) in peaks.items()]


def imports(given: argparse.Namespace) -> list[Line]:
    """The peak of both processes of an import of many images beside one of few."""
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        place = Path(made)
        importing.write_images(place / "many", given.many, WIDTH)
        few = importing.import_folder(place / "many", place / "small", only=given.few)
        many = importing.import_folder(place / "many", place / "large")
    return [
        _line("crowd import", few.import_kib, many.import_kib, given),
        _line("job worker", few.prepare_kib, many.prepare_kib, given),
    ]


def _line(what: str, few: int, many: int, given: argparse.Namespace) -> Line:
    told = f"{what}, peak memory at {given.many:,} images beside {given.few:,}"
    return Line(told, many / 1024, few / 1024, "MiB", FLATTER, at_most=True)


def _peak(folder: Path, name: str, out: Path) -> int:
    """Peak memory (KiB) of a process that writes the export."""
    shutil.rmtree(out, ignore_errors=True)
    words = [sys.executable, "-m", __name__, str(folder), name, str(out)]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    shutil.rmtree(out, ignore_errors=True)
    return int(told)


if __name__ == "__main__":
    at, of, to = sys.argv[1:]
    exporting.export(exporting.open_installation(Path(at)), of, Path(to))
    # Not getrusage: what it tells begins with the parent's memory at the moment of the fork.
    print(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])  # type: ignore[index]
