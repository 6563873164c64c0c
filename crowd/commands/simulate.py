"""`crowd simulate`: a crowd of bots over HTTP, with figures in the end."""

import json
import sys
from contextlib import AbstractContextManager, nullcontext

import click
from click.core import ParameterSource
from rich.console import Console

from crowd.commands import comparing
from crowd.commands.passing_admin import admin_token, passing_admin
from crowd.simulation.client import NotAdmin, Unexpected, Unreachable
from crowd.simulation.crew import CrewTooSmall, assemble
from crowd.simulation.crowd import Plan
from crowd.simulation.figures import Figures, print_figures
from crowd.simulation.influence import Influence
from crowd.simulation.line.comparing import Population
from crowd.simulation.run import Target, enlist
from crowd.simulation.run import simulate as run_crowd
from crowd.simulation.screen import Screen

DEFAULT_CARELESS = 0.12
DEFAULT_TIMEOUT = 1800.0


@click.command()
@click.option("--workers", type=int, required=True, help="Bots: 6 or more.")
@click.option(
    "--images", type=click.IntRange(min=0), default=0, show_default=True, help="Drawn images to upload."
)
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="The system to work on.")
@click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True, help="Of all dice.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout instead of tables.")
@click.option(
    "--think", type=click.FloatRange(min=0), default=0.0, show_default=True, help="Seconds per task."
)
@click.option(
    "--careless",
    type=click.FloatRange(0, 1),
    default=DEFAULT_CARELESS,
    show_default=True,
    help="Share of labelling bots that get half of their work wrong; 0: nobody is careless.",
)
@click.option(
    "--adopt-wrong",
    type=click.FloatRange(0, 1),
    help="Plant a bias: the share of candidates that bots take over against their own judgement.",
)
@click.option(
    "--faster",
    type=click.FloatRange(0, 95),
    help="Plant a speed-up: percent of the time that bots save where candidates are shown; needs --think.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=DEFAULT_TIMEOUT,
    show_default=True,
    help="Seconds after which the run is broken off.",
)
@click.option(
    "--token",
    envvar="CROWD_TOKEN",
    help="An admin's API token, else CROWD_TOKEN; without one the installation at hand makes an admin "
    "for the time of the run.",
)
@click.option(
    "--compare",
    is_flag=True,
    help="Run the seed twice, by the rules in memory and over HTTP in a system of its own, turn by turn; "
    "exit code 1 unless every score comes out the same to the last digit.",
)
@click.pass_context
def simulate(
    ctx: click.Context,
    workers: int,
    images: int,
    url: str,
    seed: int,
    as_json: bool,
    think: float,
    careless: float,
    adopt_wrong: float | None,
    faster: float | None,
    timeout: float,
    token: str | None,
    compare: bool,
) -> None:
    """Have a crowd of bots of known accuracy take images through all stages over HTTP.

    Ends when every image is settled or nothing can move any more, and prints figures. Exit code 1: requests
    failed, or images are left in work that no admin has to look at.

    With --adopt-wrong and --faster, where a model serves, the figures tell what was planted in the bots
    beside what GET /stats/candidates finds of it. That checks the statistics, and says nothing of people.
    """
    if compare:
        _refuse_with_compare(ctx, images)
        comparing.compare(Population(seed, workers, images, careless), admin_token)
        return
    influence = _planted(adopt_wrong, faster, think)
    try:
        personas = assemble(workers, seed, careless)
    except CrewTooSmall as error:
        raise click.BadParameter(str(error), param_hint="--workers") from None
    address, plan = _checked(url), Plan(seed, think, timeout, influence)
    try:
        with _admin(token) as known, Screen() as screen:
            target = Target(address, known)
            crew = enlist(target, personas, seed)
            screen.say(
                f"{len(crew)} bots taken on, {sum(each.persona.careless for each in crew)} of them careless"
            )
            figures = run_crowd(target, crew, images, plan, screen.observer)
    except NotAdmin as failure:
        raise click.BadParameter(str(failure), param_hint="--token") from None
    except Unreachable as failure:
        raise click.ClickException(f"{failure}: is the system at {url}? Else name it with --url.") from None
    except Unexpected as failure:
        raise click.ClickException(str(failure)) from None
    _report(figures, as_json)
    sys.exit(1 if figures.failed else 0)


def _admin(token: str | None) -> AbstractContextManager[str]:
    return nullcontext(token) if token else passing_admin()


def _planted(adopt_wrong: float | None, faster: float | None, think: float) -> Influence | None:
    if adopt_wrong is None and faster is None:
        return None
    if faster and not think:
        raise click.BadParameter("bots that take no time save none: name --think", param_hint="--faster")
    return Influence(adopt_wrong or 0.0, (faster or 0.0) / 100)


def _refuse_with_compare(ctx: click.Context, images: int) -> None:
    if images == 0:
        raise click.BadParameter("without images there is nothing to compare", param_hint="--images")
    for name in ("url", "token", "as_json", "think", "timeout", "adopt_wrong", "faster"):
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = "--json" if name == "as_json" else f"--{name.replace('_', '-')}"
            raise click.BadParameter("does not go with --compare, whose system is its own", param_hint=option)


def _checked(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter(f"{url!r} is no http:// or https:// address", param_hint="--url")
    return url


def _report(figures: Figures, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(figures.document(), ensure_ascii=False))
    else:
        print_figures(figures, Console())
