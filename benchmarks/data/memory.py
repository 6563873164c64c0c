"""Peak memory of exports and imports, from few images to many: what grows with their number.

Pictures are small, for their size does not matter here. Each export and each import is a process of its own.
"""

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.data import exporting, importing
from benchmarks.data.lines import Line
from benchmarks.data.peaks import Peaks
from crowd.datasets.formats import FORMATS

FLATTER = 1.1
WIDTH = 64


def both(given: argparse.Namespace) -> list[Line]:
    """Exports in every format, and the import."""
    return [*exports(given), *imports(given)]


def exports(given: argparse.Namespace) -> list[Line]:
    """The peak of an export of many images with the look at it beside one of few, for each format."""
    names = given.formats or list(FORMATS)
    peaks: dict[str, list[int]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        for images in (given.few, given.many):
            folder = Path(made, str(images))
            exporting.build(folder, images, width=WIDTH).db.close()
            for name in names:
                peaks[name].append(_peak(folder, name, Path(made, "out")))
            shutil.rmtree(folder)
    return [_line(f"export and check, {name}", few, many, given) for name, (few, many) in peaks.items()]


def imports(given: argparse.Namespace) -> list[Line]:
    """The peak of each process of an import of many images beside one of few, and of each kind of source."""
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        place = Path(made)
        importing.write_images(place / "many", given.many, WIDTH)
        few = importing.import_folder(place / "many", place / "small", only=given.few)
        many = importing.import_folder(place / "many", place / "large")
        lines = [
            _line("crowd import of a folder", few.import_kib, many.import_kib, given),
            _line("job worker", few.prepare_kib, many.prepare_kib, given),
            _line("the decoder", few.decode_kib, many.decode_kib, given),
        ]
        for kind, make in SOURCES.items():
            small, large = (_peak_of_import(make, place, count) for count in (given.few, given.many))
            lines.append(_line(f"crowd import of a {kind}", small, large, given))
    return lines


def _peak_of_import(make: Callable[[Path], Path], place: Path, count: int) -> int:
    """Peak memory (KiB) of an import of the first `count` images, as a source of that kind."""
    data_dir = place / f"{make.__name__}{count}"
    files = importing.linked(place / "many", data_dir / "files", count)
    peak = importing.import_alone(make(files), data_dir).peaks.own
    shutil.rmtree(data_dir)
    return peak


def _zipped(files: Path) -> Path:
    archive = files.with_name("files.zip")
    with zipfile.ZipFile(archive, "w") as out:
        for path in files.iterdir():
            out.write(path, path.name)
    return archive


def _listed(files: Path) -> Path:
    manifest = files.with_name("list.csv")
    with manifest.open("w", newline="") as out:
        csv.writer(out).writerows([["file"], *([f"{files.name}/{path.name}"] for path in files.iterdir())])
    return manifest


SOURCES = {"zip": _zipped, "manifest": _listed}


def _line(what: str, few: int, many: int, given: argparse.Namespace) -> Line:
    told = f"{what}, peak memory at {given.many:,} images beside {given.few:,}"
    return Line(told, many / 1024, few / 1024, "MiB", FLATTER, at_most=True)


def _peak(folder: Path, name: str, out: Path) -> int:
    """Peak memory (KiB) of a process that writes the export and looks at it, as the command does."""
    shutil.rmtree(out, ignore_errors=True)
    words = [sys.executable, "-m", __name__, str(folder), name, str(out)]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    shutil.rmtree(out, ignore_errors=True)
    return int(told)


if __name__ == "__main__":
    at, of, to = sys.argv[1:]
    rt = exporting.open_installation(Path(at))
    exporting.export(rt, of, Path(to))
    assert FORMATS[of].check(Path(to), rt.taxonomy).images, "nothing was looked at"
    print(Peaks.now().own)
