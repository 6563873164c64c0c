"""`crowd labels`: labelled images in, from K-Fashion and COCO files."""

from collections import Counter
from pathlib import Path

import click

from crowd.commands.opening import open_runtime
from crowd.commands.showing import progress_bar
from crowd.core.errors import field_error
from crowd.datasets.importing import Import, Outcome, Standing, take_labelled
from crowd.datasets.labelled import READERS, Unreadable
from crowd.images.decode import Decoder
from crowd.images.models import Rights
from crowd.images.service import Delivery, decode_limits, name_fault
from crowd.runtime import Runtime
from crowd.tasks.taxonomies import shelf

MOST_TOLD = 20


@click.group()
def labels() -> None:
    """Labelled images: bring them in."""


@labels.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--format", "format_name", required=True, type=click.Choice(sorted(READERS)))
@click.option("--supplier", required=True, help="Whose images these are; a new name is added.")
@click.option(
    "--rights",
    type=click.Choice([each.value for each in Rights]),
    default=Rights.UNKNOWN.value,
    help="By what right.",
)
@click.option("--batch", help="The hand-over they belong to.")
@click.option(
    "--as",
    "standing",
    type=click.Choice([each.value for each in Standing]),
    default=Standing.ACCEPTED.value,
    help="accepted: in the next release; review: opens the first review; held: out of the way, for gold.",
)
def import_labels(
    path: Path, format_name: str, supplier: str, rights: str, batch: str | None, standing: str
) -> None:
    """Bring in the labelled images at PATH: a K-Fashion folder in either layout, or COCO instances.

    The same command can be run again: what is there already is recognised. Images whose rights are unknown
    are held with their labels. What had to be left out is told; labels that cannot be true are refused.
    """
    if not path.exists():
        raise field_error("PATH", f"{path}: there is nothing of that name")
    for option, name in (("--supplier", supplier), ("--batch", batch)):
        if name is not None and (fault := name_fault(name)):
            raise field_error(option, fault)
    given = Import(Delivery(supplier.strip(), "", Rights(rights), batch), Standing(standing))
    with open_runtime() as rt:
        outcomes = _take_all(rt, path, format_name, given)
    if not outcomes:
        raise field_error("PATH", f"{path}: holds no {format_name} files")
    if outcomes[Outcome.REFUSED]:
        raise SystemExit(2)


class _Told:
    """What is said of images on stderr: the first few lines at the end, and how many more there were."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._more = 0

    def add(self, *lines: str) -> None:
        """One more thing each to be said."""
        room = max(0, MOST_TOLD - len(self._lines))
        self._lines += lines[:room]
        self._more += len(lines[room:])

    def say(self) -> None:
        """Print it."""
        for line in self._lines:
            click.echo(line, err=True)
        if self._more:
            click.echo(f"… and {self._more} more", err=True)


def _take_all(rt: Runtime, path: Path, format_name: str, given: Import) -> Counter[Outcome]:
    outcomes: Counter[Outcome] = Counter()
    told = _Told()
    with progress_bar() as bar, Decoder(decode_limits(rt.policy)) as decoder:
        step = bar.add_task("Taking", total=None)
        for item in READERS[format_name](path, shelf(rt).present().taxonomy):
            if isinstance(item, Unreadable):
                outcomes[Outcome.REFUSED] += 1
                told.add(f"refused: {item}")
                continue
            outcome, why = take_labelled(rt, decoder, given, item)
            outcomes[outcome] += 1
            if why:
                told.add(f"{outcome}: {item.where}: {why}")
            if outcome is not Outcome.KNOWN:
                told.add(*(f"{item.where}: {each}" for each in item.told))
            bar.advance(step)
    click.echo(", ".join(f"{outcomes[outcome]} {outcome}" for outcome in Outcome))
    told.say()
    return outcomes
