"""`crowd watch`: the watch over quality, from the machine itself."""

import json
from pathlib import Path

import click

from crowd.commands.model import STAGES
from crowd.commands.opening import open_runtime
from crowd.core import clock
from crowd.core.clock import rfc3339
from crowd.core.errors import Problem, field_error
from crowd.ml import extra
from crowd.ml import service as registry
from crowd.ml.watch import arrivals, service
from crowd.ml.watch.plots import draw_watch
from crowd.policy import Stage

MOST_SHOWN = 100


@click.group()
def watch() -> None:
    """Watch over quality: look through labels, keep reports, list alerts."""


@watch.command()
def look() -> None:
    """Look through new labels with the models that serve, and raise what the figures say.

    Job workers do it once a day by themselves. Labels are looked at once by each model; doubted ones wait
    under /quality/doubts for an admin.
    """
    with open_runtime() as rt:
        looked = service.look(rt, clock.now())
    if not looked.models:
        click.echo("No model serves, so there is nothing to hold labels against.")
        if not extra.is_there():
            click.echo(extra.ADVICE)
        return
    click.echo(f"{looked.doubted} labels doubted, {looked.raised} alerts raised")


@watch.command()
@click.argument("name", metavar="MODEL")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def plot(name: str, file: Path) -> None:
    """Draw what the watch knows of MODEL as a picture FILE (PNG).

    The errors and top-3 accuracy of its last report, and week by week how far the delivery that differs
    most is from all others.
    """
    with open_runtime() as rt, rt.db.read() as conn:
        model = registry.find_titled(conn, name)
        found = service.reports(conn, model.id, None, 1)
        drifts = arrivals.deliveries(conn, model.id)
    picture = draw_watch(found[0].value if found else None, drifts)
    if picture is None:
        raise Problem("nothing_to_draw", f"{name} has no report, and has seen too little to compare.")
    file.write_bytes(picture)
    click.echo(f"drawn: {file}")


@watch.command()
@click.argument("name", metavar="MODEL")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def keep(name: str, file: Path) -> None:
    """Keep with MODEL the report FILE that `crowd train … --grow` left (growth.json)."""
    try:
        report = json.loads(file.read_bytes())
    except ValueError:
        raise field_error("FILE", f"{file} holds no JSON") from None
    if not isinstance(report, dict):
        raise field_error("FILE", f"{file} holds no report")
    with open_runtime() as rt, rt.db.begin() as conn:
        model = registry.find_titled(conn, name)
        service.keep_report(conn, model, report, clock.now())
    click.echo(f"kept with {registry.title(model.name, model.version)}")


@watch.command()
@click.option("--stage", type=STAGES)
def alerts(stage: str | None) -> None:
    """List the latest alerts: when, stage, fault, whom or what it blames, why."""
    with open_runtime() as rt, rt.db.read() as conn:
        rows = service.alerts(conn, Stage(stage) if stage else None, None, None, MOST_SHOWN)
    for row in reversed(rows):
        click.echo(
            f"{rfc3339(row.at)}  {row.stage:<12} {row.fault:<11}  {row.kind} {row.subject}: {row.detail}"
        )
