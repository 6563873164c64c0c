"""How fast images come in beside the bare work on them, and in how much memory.

The floor reads, hashes, decodes, resizes and encodes (working image and thumbnail) with Pillow and does
nothing else. The import is the whole of it: `crowd import` of a folder, and the job that makes the working
images with every check. Both run on one core, in turns, and CPU time is compared beside the wall clock.
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
from pathlib import Path

from PIL import Image

from benchmarks.data.lines import Line
from crowd.core.config import load_settings
from crowd.core.migrate import upgrade
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
    """What one import took: seconds of both processes, and the peak memory (KiB) of each."""

    def __init__(self, importing: "Ran", preparing: "Ran") -> None:
        self.seconds = importing.seconds + preparing.seconds
        self.cpu = importing.cpu + preparing.cpu
        self.import_kib, self.prepare_kib = importing.peak_kib, preparing.peak_kib

    def less(self, start: "Spent") -> "Spent":
        """Without what an import takes before it looks at a picture."""
        self.seconds -= start.seconds
        self.cpu -= start.cpu
        return self


class Ran:
    """A process that has ended: how long it took and how much memory it had at most."""

    def __init__(self, words: list[str], env: dict[str, str]) -> None:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *words],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_on_one_core,  # noqa: PLW1509 - nothing else runs here
        )
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0, f"{words} failed"
        self.seconds = time.perf_counter() - started
        # Of the process and of those that it waited for, such as the decoder's child.
        self.cpu = usage.ru_utime + usage.ru_stime
        self.peak_kib = usage.ru_maxrss

    def less(self, start: "Ran") -> "Ran":
        """Without what starting Python and loading Pillow took."""
        self.seconds -= start.seconds
        self.cpu -= start.cpu
        return self


PREPARE = """
from crowd.core.config import load_settings
from crowd.images.jobs import prepare_images
from crowd.images.service import close_decoders
from crowd.runtime import build_runtime
from crowd.wiring import wire
rt = build_runtime(load_settings())
wire(rt)
prepare_images(rt)
# Waited for, so that the system adds its CPU time to ours.
close_decoders()
"""
FLOOR = """
import sys
from pathlib import Path
from benchmarks.data.importing import floor_of
floor_of(Path(sys.argv[1]))
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
    return Ran(["-c", FLOOR, str(folder)], dict(os.environ)).less(_start_of("benchmarks.data.importing"))


def import_folder(folder: Path, data_dir: Path, only: int | None = None) -> Spent:
    """Import the images of a folder, or the first `only` of them, into an installation of its own."""
    data_dir.mkdir()
    env = {**os.environ, "CROWD_DATA_DIR": str(data_dir), "REDIS_URL": "unix:///nowhere"}
    env.pop("DATABASE_URL", None)
    upgrade(load_settings(env).database_url)
    source = folder
    if only is not None:
        source = data_dir / "source"
        source.mkdir()
        for path in sorted(folder.iterdir())[:only]:
            (source / path.name).hardlink_to(path)
    words = ["-m", "crowd", "import", str(source), "--supplier", "Shop", "--rights", "owned", "--no-wait"]
    return Spent(Ran(words, env), Ran(["-c", PREPARE], env))


def _start_of(module: str) -> Ran:
    runs = (Ran(["-c", f"import {module}"], dict(os.environ)) for _ in range(2))
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
