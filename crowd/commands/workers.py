"""`crowd workers`: what an administrator at the machine itself does to people."""

import click

from crowd.accounts import queries as people
from crowd.accounts import service as accounts
from crowd.commands.opening import open_runtime
from crowd.commands.saying import reason_option
from crowd.policy import Grade
from crowd.tiers import service

GRADES = click.Choice([grade.value for grade in Grade])
CHUNK = 500


@click.group()
def workers() -> None:
    """People: add, list, grade, suspend, erase."""


@workers.command()
@click.argument("name")
@click.option("--grade", type=GRADES, required=True)
@reason_option(needed=False)
def add(name: str, grade: str, reason: str) -> None:
    """Add the person NAME; the last word printed is the password, shown this once."""
    password = accounts.make_password()
    with open_runtime() as rt, rt.db.begin() as conn:
        person = service.join(conn, name, Grade(grade), by=None, password=password, reason=reason)
    click.echo(f"{person.username} ({person.grade}, id {person.id}) was added; password: {password.text}")


@workers.command()
@click.argument("name")
def token(name: str) -> None:
    """A new API token for NAME; it is the last word printed, shown this once."""
    with open_runtime() as rt, rt.db.begin() as conn:
        person = accounts.find_person_named(conn, name)
        token_id, text = accounts.issue_token(conn, person.id)
    click.echo(f"Token {token_id} of {person.username}: {text}")


@workers.command("list")
@click.option("--grade", type=GRADES)
def list_people(grade: str | None) -> None:
    """List everybody: id, grade, standing, name."""
    wanted = Grade(grade) if grade else None
    with open_runtime() as rt:
        after: int | None = None
        while True:
            with rt.db.read() as conn:
                rows = people.people(conn, after=after, limit=CHUNK, grade=wanted)
            for row in rows:
                standing = "erased" if row.erased else "suspended" if row.suspended else "active"
                click.echo(f"{row.id:>6}  {row.grade:<12} {standing:<10} {row.username}")
            if len(rows) < CHUNK:
                return
            after = rows[-1].id


@workers.command()
@click.argument("name")
@click.argument("grade", type=GRADES)
@reason_option()
def grade(name: str, grade: str, reason: str) -> None:
    """Move the person NAME to GRADE."""
    with open_runtime() as rt, rt.db.begin() as conn:
        person = accounts.find_person_named(conn, name)
        changed = service.regrade(conn, person.id, Grade(grade), by=None, reason=reason)
    click.echo(f"{changed.username} is {changed.grade}")


@workers.command()
@click.argument("name")
@reason_option()
def suspend(name: str, reason: str) -> None:
    """Keep the person NAME from working."""
    with open_runtime() as rt, rt.db.begin() as conn:
        person = accounts.find_person_named(conn, name)
        service.suspend(conn, person.id, by=None, reason=reason)
    click.echo(f"{person.username} is suspended")


@workers.command()
@click.argument("name")
@reason_option()
def reinstate(name: str, reason: str) -> None:
    """Let the suspended person NAME work again."""
    with open_runtime() as rt, rt.db.begin() as conn:
        person = accounts.find_person_named(conn, name)
        service.reinstate(conn, person.id, by=None, reason=reason)
    click.echo(f"{person.username} works again")


@workers.command()
@click.argument("name")
@reason_option()
def erase(name: str, reason: str) -> None:
    """Erase the data of the person NAME for good; the history stays, under a pseudonym."""
    with open_runtime() as rt, rt.db.begin() as conn:
        person = accounts.find_person_named(conn, name)
        erased = service.erase(conn, person.id, by=None, reason=reason)
    click.echo(f"worker {erased.id} is now {erased.username}")
