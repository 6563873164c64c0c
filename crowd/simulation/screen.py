"""Shows on stderr how a run goes: one live line on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from crowd.policy import Stage
from crowd.simulation.crowd import IN_WORK, Snapshot
from crowd.simulation.run import Observer

SPOKEN_EVERY_SECONDS = 5.0
SHORT = {
    Stage.SEGMENTATION: "seg",
    Stage.ATTRIBUTES: "attr",
    Stage.STYLES: "style",
    Stage.FIRST_REVIEW: "1st",
    Stage.SECOND_REVIEW: "2nd",
    Stage.ADJUDICATION: "adj",
}


class Screen:
    """A context manager; `observer` is what a run tells its progress to."""

    def __init__(self) -> None:
        self.console = Console(file=sys.stderr)
        self._live = Live(console=self.console, auto_refresh=False, transient=True)
        self._started = time.monotonic()
        self._spoken = 0.0

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    @property
    def observer(self) -> Observer:
        """Who shows steps and snapshots here."""
        return Observer(self.say, self.show)

    def say(self, text: str) -> None:
        """A step, with the seconds since the start."""
        seconds = time.monotonic() - self._started
        self.console.print(f"{seconds:6.1f} s  {text}", highlight=False, markup=False, soft_wrap=True)

    def show(self, snapshot: Snapshot) -> None:
        """How the run stands now."""
        line = line_of(snapshot)
        if self.console.is_terminal:
            self._live.update(Text(f"{snapshot.seconds:6.1f} s  {line}"), refresh=True)
        elif snapshot.seconds - self._spoken >= SPOKEN_EVERY_SECONDS:
            self._spoken = snapshot.seconds
            self.say(line)


def line_of(snapshot: Snapshot) -> str:
    """A snapshot in one line: images by state, tasks done by stage, cycles per second."""
    images = [f"{count} {state}" for state, count in snapshot.images.items() if count or state != "withdrawn"]
    done = [f"{SHORT[stage]} {snapshot.done.get(stage, 0)}" for stage in Stage]
    images = [text.replace(IN_WORK, "in work") for text in images]
    return f"{', '.join(images)} | {', '.join(done)} | {snapshot.cycles_per_second:.0f} cycles/s"
