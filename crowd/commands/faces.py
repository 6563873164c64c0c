"""`crowd faces`: search for faces in images that came in while no detector was installed."""

import click

from crowd.commands.opening import open_runtime
from crowd.commands.showing import rate_bar
from crowd.tasks.retouching import searching


@click.command()
def faces() -> None:
    """Cover the faces in images that came in while the extra `faces` was missing.

    Those that were held for that alone go to work. Interrupted, the same command goes on from there.
    """
    with open_runtime() as rt, rate_bar() as bar:
        step = bar.add_task("Searching", total=None)
        told = searching.search_unchecked(rt, lambda: bar.advance(step))
    click.echo(
        f"{told.searched} searched, {told.covered} with faces, which are covered, {told.let_in} let in"
    )
