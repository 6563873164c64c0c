"""`crowd model`: the registry of models, from the machine itself."""

from pathlib import Path
from typing import Any

import click

from crowd.commands.opening import open_runtime
from crowd.commands.saying import reason_option
from crowd.core import clock
from crowd.core.clock import rfc3339
from crowd.core.db import AnyRow
from crowd.ml import queries, service
from crowd.policy import Stage
from crowd.tasks.flow import LABELLING

CHUNK = 500
STAGES = click.Choice([stage.value for stage in LABELLING])

remark_option = reason_option(needed=False, kept_in="the registry's history")


@click.group()
def model() -> None:
    """Models: add, list, promote, roll back. MODEL is NAME@VERSION, or its number."""


@model.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="Without it, the name of the net.")
@click.option("--promote", "promotes", is_flag=True, help="Have it serve at once.")
@remark_option
def add(file: Path, name: str | None, promotes: bool, reason: str) -> None:
    """Register FILE, as `crowd train` writes it, as the next version of its name."""
    with open_runtime() as rt:
        with file.open("rb") as source:
            kept = service.keep_file(rt.storage, source)
        chosen = name or kept.card.net.lower().replace("_", "-")
        added = service.add(rt, kept, chosen, by=None, now=clock.now())
        if promotes:
            with rt.db.begin() as conn:
                added = service.promote(conn, added.id, by=None, why=reason, now=clock.now())
            rt.queue.nudge("candidates")
    click.echo(f"{_titled(added)} of {added.stage}{' serves' if added.serving else ''}")


@model.command("list")
@click.option("--stage", type=STAGES)
def list_models(stage: str | None) -> None:
    """List every version: number, stage, whether it serves, since when it is here, name, results."""
    wanted = Stage(stage) if stage else None
    with open_runtime() as rt:
        after: int | None = None
        while True:
            with rt.db.read() as conn:
                rows = queries.models(conn, wanted, after, CHUNK)
            for row in rows:
                serves = "serves" if row.serving else ""
                click.echo(
                    f"{row.id:>5}  {row.stage:<12} {serves:<6}  {rfc3339(row.created_at)}  "
                    f"{_titled(row)}  {_results(row.metrics)}".rstrip()
                )
            if len(rows) < CHUNK:
                return
            after = rows[-1].id


@model.command()
@click.argument("name", metavar="MODEL")
@remark_option
def promote(name: str, reason: str) -> None:
    """Have MODEL make its stage's candidates from now on."""
    with open_runtime() as rt:
        with rt.db.begin() as conn:
            found = service.find_titled(conn, name)
            service.promote(conn, found.id, by=None, why=reason, now=clock.now())
        rt.queue.nudge("candidates")
    click.echo(f"{_titled(found)} serves {found.stage}")


@model.command()
@click.argument("name", metavar="MODEL")
@remark_option
def rollback(name: str, reason: str) -> None:
    """MODEL, which serves, gives way to the one that it replaced."""
    with open_runtime() as rt:
        with rt.db.begin() as conn:
            found = service.find_titled(conn, name)
            earlier = service.roll_back(conn, found.id, by=None, why=reason, now=clock.now())
        rt.queue.nudge("candidates")
    click.echo(f"{_titled(earlier) if earlier else 'no model'} serves {found.stage}")


def _titled(row: AnyRow) -> str:
    return service.title(row.name, row.version)


def _results(metrics: Any) -> str:
    numbers = {name: value for name, value in metrics.items() if isinstance(value, float)}
    return ", ".join(f"{name} {value:.3f}" for name, value in numbers.items())
