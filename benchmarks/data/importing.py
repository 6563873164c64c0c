"""How fast images come in beside the bare work on them, and in how much memory.

The floor reads, hashes, decodes, resizes and encodes (working image and thumbnail) with Pillow and does
nothing else; like the decoder it stands behind whatever else wants the core. The import is the whole of it:
`crowd import` of a folder, and the job that makes the working images with every check. Both run on one core,
in turns, and CPU time is compared beside the wall clock.
"""

import argparse
import hashlib
import io
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from benchmarks.data.lines import Line
from benchmarks.data.peaks import Peaks
from crowd.core.config import load_settings
from crowd.core.migrate import upgrade
from crowd.images.derivatives import NICENESS
from crowd.simulation.drawing import draw
from crowd.simulation.looks import as_jpeg

# Pictures as shops send them: larger than what is worked on.
WIDTH = 1080
SPEED_IMAGES = 100
TURNS = 3
LEAST_SHARE = 0.6
DRAWN = 24


def speed(given: argparse.Namespace) -> list[Line]:
    """Images a second beside the floor."""
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        place = Path(folder)
        write_images(place / "few", SPEED_IMAGES, WIDTH)
        # Starting Python, loading the rooms and warming a decoder up is done once for a million images,
        # so it is none of the import's work: what the import of one tiny picture takes is taken off.
        write_images(place / "one", 1, 64)
        start = import_folder(place / "one", place / "start")
        turns = [
            (_floor(place / "few"), import_folder(place / "few", place / f"data{turn}").less(start))
            for turn in range(TURNS)
        ]
        return [
            _speed_row("import, images/s of CPU time", [(floor.cpu, ours.cpu) for floor, ours in turns]),
            _speed_row(
                "import, images/s by the clock", [(floor.seconds, ours.seconds) for floor, ours in turns]
            ),
        ]


def _speed_row(what: str, turns: list[tuple[float, float]]) -> Line:
    floor, ours = (statistics.median(each) for each in zip(*turns, strict=True))
    return Line(what, SPEED_IMAGES / ours, SPEED_IMAGES / floor, "images/s", LEAST_SHARE)


class Spent:
    """What one import took: seconds of both processes, and the peak KiB of each and of the decoder."""

    def __init__(self, importing: "Ran", preparing: "Ran") -> None:
        self.seconds = importing.seconds + preparing.seconds
        self.cpu = importing.cpu + preparing.cpu
        self.import_kib = importing.peaks.own
        self.prepare_kib, self.decode_kib = preparing.peaks.own, preparing.peaks.child

    def less(self, start: "Spent") -> "Spent":
        """Without what an import takes before it looks at a picture."""
        self.seconds -= start.seconds
        self.cpu -= start.cpu
        return self


class Ran:
    """A process that has ended: how long it took, and how much memory it says it had at most.

    `script` is Python; its first argument is where it may leave its Peaks, `words` follow.
    """

    def __init__(self, script: str, words: Sequence[str], env: Mapping[str, str]) -> None:
        with tempfile.NamedTemporaryFile() as told:
            started = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, "-c", script, told.name, *words],
                env=env,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=_on_one_core,  # noqa: PLW1509 - nothing else runs here
            )
            _, status, usage = os.wait4(process.pid, 0)
            assert status == 0, f"{words} failed"
            self.seconds = time.perf_counter() - started
            left = Path(told.name)
            self.peaks = Peaks.told_in(left) if left.stat().st_size else Peaks(0, 0)
        # Of the process and of those that it waited for, such as the decoder's child.
        self.cpu = usage.ru_utime + usage.ru_stime

    def less(self, start: "Ran") -> "Ran":
        """Without what starting Python and loading Pillow took."""
        self.seconds -= start.seconds
        self.cpu -= start.cpu
        return self


IMPORT = """
import sys
from benchmarks.data.peaks import Peaks
from crowd.cli import main
main(["import", *sys.argv[2:]], standalone_mode=False)
Peaks.now().leave(sys.argv[1])
"""
PREPARE = """
import sys
from benchmarks.data.peaks import Peaks
from crowd.core.config import load_settings
from crowd.images.jobs import prepare_images
from crowd.images.service import close_decoders
from crowd.runtime import build_runtime
from crowd.wiring import wire
rt = build_runtime(load_settings())
wire(rt)
prepare_images(rt)
Peaks.now().leave(sys.argv[1])
# Waited for, so that the system adds its CPU time to ours.
close_decoders()
"""
FLOOR = f"""
import os
import sys
from pathlib import Path
from benchmarks.data.importing import floor_of
os.nice({NICENESS})
floor_of(Path(sys.argv[2]))
"""


def floor_of(folder: Path) -> None:
    """The bare work on every image of a folder."""
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        hashlib.sha256(data).digest()
        with Image.open(io.BytesIO(data)) as opened:
            picture = opened.convert("RGB")
        for width, quality in ((800, 90), (round(256 * picture.width / max(picture.size)), 85)):
            if width < picture.width:
                size = (width, round(picture.height * width / picture.width))
                picture = picture.resize(size, Image.Resampling.LANCZOS)
            picture.save(io.BytesIO(), "JPEG", quality=quality, optimize=True)


def _floor(folder: Path) -> Ran:
    return Ran(FLOOR, [str(folder)], os.environ).less(_start_of("benchmarks.data.importing"))


def import_folder(folder: Path, data_dir: Path, only: int | None = None) -> Spent:
    """Import the images of a folder, or the first `only` of them, into an installation of its own."""
    data_dir.mkdir()
    source = linked(folder, data_dir / "source", only) if only is not None else folder
    return Spent(import_alone(source, data_dir), Ran(PREPARE, [], _installation(data_dir)))


def import_alone(source: Path, data_dir: Path) -> Ran:
    """`crowd import` of whatever lies there, without the job that makes working images."""
    env = _installation(data_dir)
    upgrade(load_settings(env).database_url)
    return Ran(IMPORT, [str(source), "--supplier", "Shop", "--rights", "owned", "--no-wait"], env)


def linked(folder: Path, place: Path, only: int) -> Path:
    """The first images of a folder in a folder of their own, which takes no space."""
    place.mkdir(parents=True)
    for path in sorted(folder.iterdir())[:only]:
        (place / path.name).hardlink_to(path)
    return place


def _installation(data_dir: Path) -> dict[str, str]:
    env = {**os.environ, "CROWD_DATA_DIR": str(data_dir), "REDIS_URL": "unix:///nowhere"}
    env.pop("DATABASE_URL", None)
    return env


def _start_of(module: str) -> Ran:
    runs = (Ran(f"import {module}", [], os.environ) for _ in range(2))
    return min(runs, key=lambda each: each.cpu)


def _on_one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def write_images(folder: Path, count: int, width: int) -> None:
    """Different pictures: a few drawings, each marked anew so that no two are alike."""
    folder.mkdir()
    drawings = [draw(seed).image.convert("RGB") for seed in range(DRAWN)]
    height = width * 3 // 2
    drawings = [each.resize((width, height)) for each in drawings]
    rng = random.Random(7)
    for number in range(count):
        picture = drawings[number % DRAWN].copy()
        for _ in range(6):
            left, top = rng.randrange(width * 3 // 4), rng.randrange(height * 3 // 4)
            colour = tuple(rng.randrange(256) for _ in range(3))
            picture.paste(colour, (left, top, left + width // 4, top + height // 4))
        (folder / f"{number:06}.jpg").write_bytes(as_jpeg(picture))
