"""`crowd synthetic`: a drawn data set, in the form that releases are exported in."""

import os
import time
from pathlib import Path

import click

from crowd.commands.showing import progress_bar
from crowd.core.errors import Problem
from crowd.datasets.formats.kfashion import Layout
from crowd.simulation.synthetic import Order, write_set

SMALLEST, LARGEST = 64, 2000


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--images", type=click.IntRange(min=1), required=True, help="How many.")
@click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True, help="Of all dice.")
@click.option(
    "--size", type=click.IntRange(SMALLEST, LARGEST), default=480, show_default=True, help="Width in pixels."
)
@click.option(
    "--layout",
    type=click.Choice([layout.value for layout in Layout]),
    default=Layout.RELEASE.value,
    show_default=True,
    help="How the folders are laid out.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    show_default="one for each processor",
    help="That draw at once; the bytes are the same.",
)
def synthetic(folder: Path, images: int, seed: int, size: int, layout: str, processes: int) -> None:
    """Draw a K-Fashion set into DIR, to train on: dressed figures with their parts, attributes and styles.

    Long-tailed as the real one, split 80:10:10 by look. The same arguments give the same bytes; a set that
    was broken off is drawn anew by the same command.
    """
    started = time.monotonic()
    with progress_bar() as bar:
        step = bar.add_task("Drawing", total=images)
        try:
            write_set(
                folder,
                Order(images, seed, size, Layout(layout)),
                min(processes, images),
                lambda drawn: bar.update(step, completed=drawn),
            )
        except OSError as error:
            raise Problem("not_written", f"{error.filename or folder}: {error.strerror or error}") from None
    seconds = time.monotonic() - started
    click.echo(f"{images} images in {folder} ({images / seconds:.1f} a second)")
