"""`crowd quality detect`: the detectors, run by hand."""

import click

from crowd.accounts import service as accounts
from crowd.commands.opening import open_runtime
from crowd.core import clock
from crowd.review import watch
from crowd.review.watch import Opened


@click.command()
@click.option("--worker", "name", help="Look at this person alone, with new answers or without.")
def detect(name: str | None) -> None:
    """Look for what speaks against answers, and open flags about it.

    Looks at everybody who has given answers since the last time, as upkeep does now and then.
    """
    with open_runtime() as rt:
        if name is None:
            opened = watch.look(rt.db, rt.policy, clock.now())
        else:
            with rt.db.read() as conn:
                person = accounts.find_person_named(conn, name)
            opened = watch.look_at(rt.db, rt.policy, [person.id], clock.now())
    for each in opened:
        click.echo(_told(each))
    click.echo(f"{len(opened)} flags were opened")


def _told(opened: Opened) -> str:
    numbers = ", ".join(
        f"{name} {value}" for name, value in opened.finding.evidence.items() if name != "images"
    )
    return (
        f"flag {opened.flag_id}: worker {opened.worker_id}, {opened.stage}, {opened.finding.code}: {numbers}"
    )
