"""`crowd demo`: the whole system at work on sample images, from the first upload to the exported data set."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import click
from rich.console import Console

from crowd.accounts import service as people
from crowd.commands.opening import open_runtime
from crowd.commands.passing_admin import passing_admin
from crowd.commands.simulate import DEFAULT_CARELESS, DEFAULT_TIMEOUT
from crowd.core import clock
from crowd.datasets import queries as releases
from crowd.images.models import ImageState
from crowd.policy import Grade
from crowd.simulation import keepsakes
from crowd.simulation.client import NotAdmin, Unexpected, Unreachable
from crowd.simulation.crew import CrewTooSmall, Persona, assemble
from crowd.simulation.crowd import Plan
from crowd.simulation.examples import choose_examples
from crowd.simulation.figures import Figures, print_figures
from crowd.simulation.gallery import Gallery
from crowd.simulation.member import Account
from crowd.simulation.run import Target, enlist, simulate
from crowd.simulation.screen import Screen
from crowd.simulation.uploads import RIGHTS, SUPPLIER
from crowd.standalone import StandaloneFailed, start_standalone
from crowd.tasks import progress

HOST = "127.0.0.1"
PORTS_TRIED = 50
PHOTOGRAPHERS = "Sample Photographs"
LAYOUTS = ("guideline", "release")
# The demo is a world of its own: it never touches the database or storage somebody works with.
ELSEWHERE = ("DATABASE_URL", "REDIS_URL", "CROWD_STORAGE")


class StepFailed(Exception):
    """A step of the demo did not work; the message says which."""


@dataclass(frozen=True, slots=True)
class Show:
    """What the command line asked for."""

    data_dir: Path
    port: int
    images: int
    seed: int
    crew: list[Persona]


@click.command()
@click.option("--once", is_flag=True, help="End after the summary instead of serving on.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Or the next free one."
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-data"),
    show_default=True,
    help="Where everything is kept; a second start goes on from there.",
)
@click.option(
    "--images", type=click.IntRange(min=0), default=60, show_default=True, help="Drawn garment images."
)
@click.option("--workers", type=int, default=20, show_default=True, help="Bots: 6 or more.")
@click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True, help="Of all dice.")
def demo(once: bool, port: int, data_dir: Path, images: int, workers: int, seed: int) -> None:
    """Show the whole system at work: import, label, review, export; then serve until Ctrl-C."""
    try:
        crew = assemble(workers, seed, DEFAULT_CARELESS)
    except CrewTooSmall as error:
        raise click.BadParameter(str(error), param_hint="--workers") from None
    signal.signal(signal.SIGTERM, _exit)
    # A shell's background job starts with Ctrl-C ignored; asked to stop, it shall stop all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ELSEWHERE:
        os.environ.pop(name, None)
    data_dir = data_dir.resolve()
    os.environ["CROWD_DATA_DIR"] = str(data_dir)
    try:
        code = Demo(Show(data_dir, port, images, seed, crew)).run(once)
    except (StandaloneFailed, StepFailed, NotAdmin, Unexpected, Unreachable) as failure:
        raise click.ClickException(str(failure)) from None
    except KeyboardInterrupt:
        click.echo("stopped")
        sys.exit(130)
    sys.exit(code)


class Demo:
    """The steps in order; every one can be done again and finds what is there."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self._screen = Screen()
        self._started = time.monotonic()

    def run(self, once: bool) -> int:
        """Everything; returns the exit code. Raises StandaloneFailed, StepFailed, Unexpected and the like."""
        with start_standalone(self._show.data_dir, self._port(), HOST) as url:
            self._say(f"the system is up at {url}, everything is kept in {self._show.data_dir}")
            self._settle_people()
            self._bring_images_in()
            figures = self._label(url)
            self._choose_examples()
            self._export(anew=figures is not None)
            self._sum_up(url, figures)
            if not once:
                self._serve()
        self._say("stopped, nothing is left running")
        return 1 if figures is not None and figures.failed else 0

    def _port(self) -> int:
        port = free_port(self._show.port)
        if port != self._show.port:
            self._say(f"port {self._show.port} is taken: {port} it is")
        return port

    def _settle_people(self) -> None:
        logins = keepsakes.read_logins(self._show.data_dir)
        with open_runtime() as rt:
            with rt.db.read() as conn:
                missing = keepsakes.without_login(conn, logins)
            new = keepsakes.make_passwords(missing)
            with rt.db.begin() as conn:
                keepsakes.settle_people(conn, new)
        if new:
            logins |= {keepsakes.demo_name(grade): password.text for grade, password in new.items()}
        path = keepsakes.write_logins(self._show.data_dir, logins)
        self._say(f"{'made' if new else 'found'} a login for each grade: {path}")

    def _bring_images_in(self) -> None:
        gallery = Gallery(self._show.data_dir)
        photographs = gallery.write_photographs()
        self._say(f"{photographs} sample photographs in {gallery.photographs}")
        drawn = gallery.write_drawings(self._show.images, self._show.seed, self._tell_drawn)
        self._say(f"{self._show.images} garment images in {gallery.drawings}, {drawn} of them drawn now")
        if photographs:
            self._crowd(
                "import", str(gallery.photographs), "--supplier", PHOTOGRAPHERS, "--rights", "licensed"
            )
        if self._show.images:
            self._crowd("import", str(gallery.drawings), "--supplier", SUPPLIER, "--rights", RIGHTS)

    def _tell_drawn(self, count: int) -> None:
        if count % 20 == 0:
            self._say(f"{count} drawn")

    def _label(self, url: str) -> Figures | None:
        """Have the bots do what there is to do; None if there was nothing."""
        waiting = self._count(ImageState.IN_WORK)
        if not waiting:
            self._say("no image is in work: there is nothing to label")
            return None
        plan = Plan(self._show.seed, think=0.0, timeout=DEFAULT_TIMEOUT)
        knowledge = Gallery(self._show.data_dir).knowledge()
        with passing_admin() as token, self._screen as screen:
            target = Target(url, token)
            bots = self._bots(target)
            self._say(f"{len(bots)} bots take {waiting} images through all stages over the JSON API")
            return simulate(target, bots, 0, plan, screen.observer, knowledge)

    def _choose_examples(self) -> None:
        with open_runtime() as rt, rt.db.begin() as conn:
            admin = people.find_person_named(conn, keepsakes.demo_name(Grade.ADMIN))
            chosen = choose_examples(conn, rt, admin.id, clock.now())
        if chosen:
            self._say(f"{chosen} accepted images are shown as examples of their styles")

    def _bots(self, target: Target) -> list[Account]:
        with open_runtime() as rt, rt.db.read() as conn:
            bots = keepsakes.read_bots(conn, self._show.data_dir, self._show.crew)
        if bots is None:
            bots = enlist(target, self._show.crew, self._show.seed)
            keepsakes.write_bots(self._show.data_dir, bots)
        return bots

    def _export(self, *, anew: bool) -> None:
        """Release what was labelled now; and finish what an interrupted start left half written."""
        if not self._count(ImageState.ACCEPTED):
            self._say("no image was accepted: there is nothing to release")
            return
        number = self._releases()
        if anew or number == 0:
            number += 1
            self._crowd("release", "create", f"demo-{number}")
        name = f"demo-{number}"
        for layout in LAYOUTS:
            out = self._show.data_dir / "export" / f"{name}-{layout}"
            self._crowd(
                "release", "export", name, "--format", "kfashion", "--layout", layout, "--out", str(out)
            )
            self._say(f"exported and checked: {out}")

    def _releases(self) -> int:
        """How many releases the demo has made."""
        with open_runtime() as rt, rt.db.read() as conn:
            number = 0
            while releases.release_named(conn, f"demo-{number + 1}") is not None:
                number += 1
        return number

    def _exports(self) -> list[Path]:
        return sorted((self._show.data_dir / "export").glob("*"))

    def _count(self, state: ImageState) -> int:
        with open_runtime() as rt, rt.db.read() as conn:
            return progress.images_by_state(conn)[state.value]

    def _crowd(self, *words: str) -> None:
        """Run a command of `crowd` as a person would. Raises StepFailed."""
        code = subprocess.run([sys.executable, "-m", "crowd", *words], check=False).returncode
        if code:
            raise StepFailed(f"crowd {' '.join(words[:2])} ended with exit code {code}")

    def _sum_up(self, url: str, figures: Figures | None) -> None:
        console = Console()
        if figures is None:
            self._say("everything was labelled before; nothing was done twice")
        else:
            print_figures(figures, console)
        data_dir = self._show.data_dir
        places = {
            "pages": url,
            "API described": f"{url}/api/docs",
            "logins": str(data_dir / keepsakes.LOGINS_FILE),
            "data sets": ", ".join(str(path) for path in self._exports()) or "none",
            "whole run": f"{time.monotonic() - self._started:.1f} s",
        }
        for name, place in places.items():
            console.print(f"{name:<14} {place}", highlight=False, markup=False, soft_wrap=True)

    def _serve(self) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            self._say("serving until Ctrl-C")
            threading.Event().wait()

    def _say(self, text: str) -> None:
        self._screen.say(text)


def free_port(wanted: int) -> int:
    """The port, or the next one above it that nobody listens on. Raises StepFailed."""
    for port in range(wanted, min(wanted + PORTS_TRIED, 65536)):
        with contextlib.suppress(OSError), _probe() as probe:
            probe.bind((HOST, port))
            probe.listen(1)
            return port
    raise StepFailed(f"none of the ports from {wanted} on is free")


@contextlib.contextmanager
def _probe() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the server itself does: a port whose last connections are still fading is no taken one.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        yield probe


def _exit(number: int, frame: FrameType | None) -> None:
    """Being asked to end is an exception too, so that what was started is stopped on the way out."""
    sys.exit(128 + number)
