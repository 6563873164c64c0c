"""`crowd groups`: institutions and groups, as an administrator at the machine itself steers them."""

import click

from crowd.accounts import group_queries as queries
from crowd.accounts import groups as service
from crowd.accounts import service as accounts
from crowd.accounts.models import GroupKind
from crowd.commands.opening import open_runtime
from crowd.commands.saying import reason_option

KINDS = click.Choice([kind.value for kind in GroupKind])
CHUNK = 500


@click.group()
def groups() -> None:
    """Groups of people: add, list, who belongs."""


@groups.command()
@click.argument("name")
@click.option("--kind", type=KINDS, required=True)
def add(name: str, kind: str) -> None:
    """Add the group NAME."""
    with open_runtime() as rt, rt.db.begin() as conn:
        group = service.found(conn, GroupKind(kind), name, by=None)
    click.echo(f"{group.name} ({group.kind}, id {group.id}) was added")


@groups.command("list")
def list_groups() -> None:
    """List every group: id, kind, members, name."""
    with open_runtime() as rt:
        after: int | None = None
        while True:
            with rt.db.read() as conn:
                rows = queries.groups(conn, after=after, limit=CHUNK)
            for row in rows:
                click.echo(f"{row.id:>6}  {row.kind:<10} {row.members:>6}  {row.name}")
            if len(rows) < CHUNK:
                return
            after = rows[-1].id


@groups.command()
@click.argument("name")
@click.argument("people", nargs=-1, required=True)
@reason_option(needed=False)
def join(name: str, people: tuple[str, ...], reason: str) -> None:
    """From now on the PEOPLE (names) belong to the group NAME."""
    with open_runtime() as rt, rt.db.begin() as conn:
        group = service.find_named(conn, name)
        ids = [accounts.find_person_named(conn, each).id for each in people]
        moved = service.join(conn, group.id, ids, by=None, reason=reason)
    click.echo(f"{moved} people joined {group.name}")


@groups.command()
@click.argument("name")
@click.argument("person")
@reason_option(needed=False)
def leave(name: str, person: str, reason: str) -> None:
    """The PERSON belongs to the group NAME no longer."""
    with open_runtime() as rt, rt.db.begin() as conn:
        group = service.find_named(conn, name)
        found = accounts.find_person_named(conn, person)
        service.leave(conn, group.id, found.id, by=None, reason=reason)
    click.echo(f"{found.username} is not in {group.name}")
