"""`crowd quality`: scores reckoned anew from the evidence, by hand."""

import click

from crowd.commands.opening import open_runtime
from crowd.core import clock
from crowd.tiers import rebuild as rebuilding
from crowd.tiers.rebuild import Rebuilt


@click.group()
def quality() -> None:
    """Quality scores: rebuild them from the evidence, fit reviewers anew."""


@quality.command()
def rebuild() -> None:
    """Reckon every score from the stored evidence, by the newest fit of severity.

    Exit code 0: all came out as they stood; 1: some did not, and stand right now.
    """
    with open_runtime() as rt:
        rebuilt = rebuilding.rebuild(rt.db, rt.policy)
    _say(rebuilt)
    if rebuilt.changed:
        raise SystemExit(1)


@quality.command()
def refit() -> None:
    """Fit the reviewers' severity to all reviews so far, and reckon every score with it, as each night."""
    with open_runtime() as rt:
        rebuilt = rebuilding.refit(rt.db, rt.policy, clock.now())
    _say(rebuilt)


def _say(rebuilt: Rebuilt) -> None:
    click.echo(
        f"{rebuilt.scores} scores reckoned anew, {rebuilt.changed} of them changed; "
        f"{rebuilt.reviewers} reviewers fitted"
    )
