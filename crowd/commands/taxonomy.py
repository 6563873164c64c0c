"""`crowd taxonomy`: what people choose from, looked at, compared and published at the machine itself."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from crowd.commands.opening import open_runtime
from crowd.commands.saying import reason_option
from crowd.core import clock
from crowd.core.clock import rfc3339
from crowd.core.errors import Unprocessable, field_error
from crowd.runtime import Runtime
from crowd.tasks.editions import queries, service
from crowd.tasks.editions.service import Wish
from crowd.tasks.taxonomies import shelf
from crowd.taxonomy import (
    Change,
    Taxonomy,
    TaxonomyError,
    Turn,
    load_taxonomy,
    parse_taxonomy,
    write_taxonomy,
)

CHUNK = 200

NUMBER = click.option("--number", type=click.IntRange(0, 1_000_000), help="Another version than the present.")

_SIGNS = {Turn.ADDED: "+", Turn.REMOVED: "-", Turn.RETIRED: "x", Turn.RESTORED: "o", Turn.ORDERED: "~"}


@click.group()
def taxonomy() -> None:
    """What people choose from: show, export, compare, apply."""


@taxonomy.command()
def show() -> None:
    """Tell which versions there were, the present one first."""
    with open_runtime() as rt:
        present = shelf(rt).present()
        asked: int | None = None
        while True:
            with rt.db.read() as conn:
                rows = service.listed(conn, shelf(rt), before=asked, limit=CHUNK)
            for row in rows:
                click.echo(_line(row))
            if len(rows) < CHUNK:
                break
            asked = rows[-1]["number"]
        if present.number > 0 and not _follows(rt):
            click.echo("The file that processes start with has changed; `crowd taxonomy apply` has it hold.")


@taxonomy.command()
@NUMBER
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A file instead of the screen.")
def export(number: int | None, out: Path | None) -> None:
    """Write a version as a taxonomy file (YAML), to be edited and applied."""
    with open_runtime() as rt:
        text = write_taxonomy(_version(rt, number))
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise field_error("--out", f"{out} cannot be written: {error.strerror or error}") from None


@taxonomy.command()
@click.argument("file", type=click.Path(path_type=Path))
def diff(file: Path) -> None:
    """Tell what applying FILE would change, and what would forbid it (exit code 2); change nothing."""
    wanted = _read(file)
    with open_runtime() as rt:
        present = shelf(rt).present()
        wish = Wish(present.number, document=wanted.document)
        with rt.db.read() as conn:
            found = service.outlook(conn, shelf(rt), wish, wanted)
    _tell(found.changes)
    for each in found.held:
        click.echo(f"{each.path} is held by {'' if each.whole else 'at least '}{each.labels} labels")
    if found.refusals and found.changes:
        raise field_error("FILE", _sentences(found.refusals))


@taxonomy.command()
@click.argument("file", type=click.Path(path_type=Path))
@reason_option()
def apply(file: Path, reason: str) -> None:
    """Have FILE hold from now on; running processes see it within a few seconds."""
    wanted = _read(file)
    with open_runtime() as rt:
        present = shelf(rt).present()
        wish = Wish(present.number, document=wanted.document)
        try:
            with rt.db.begin() as conn:
                made = service.publish(conn, shelf(rt), wish, reason, by=None, now=clock.now())
        except Unprocessable as refused:
            raise field_error("FILE", _sentences(refused.errors or {"": [refused.detail]})) from None
    click.echo(f"{made['name']} {made['version']} holds, as version {made['number']}")


def _read(file: Path) -> Taxonomy:
    try:
        return load_taxonomy(file)
    except TaxonomyError as error:
        raise field_error("FILE", str(error)) from None


def _line(row: Any) -> str:
    when = rfc3339(row["at"]) if row["at"] else "as the process was started"
    who = row["who"] or ("" if row["number"] == 0 else "at the machine itself")
    changes = f"{len(row['changes'])} changes" if row["number"] else "the file"
    said = (
        f"{row['number']:>4}  {row['version']:<12}",
        row["digest"][:12],
        when,
        who,
        changes,
        row["reason"],
    )
    return "  ".join(filter(None, said))


def _version(rt: Runtime, number: int | None) -> Taxonomy:
    present = shelf(rt).present()
    if number is None or number == present.number:
        return present.taxonomy
    with rt.db.read() as conn:
        return parse_taxonomy(service.show(conn, shelf(rt), number)["document"])


def _follows(rt: Runtime) -> bool:
    """Whether the file is one of the versions that held."""
    with rt.db.read() as conn:
        return queries.held_once(conn, rt.taxonomy.digest)


def _tell(changes: Sequence[Change]) -> None:
    if not changes:
        click.echo("Nothing differs.")
    for change in changes:
        sign = _SIGNS.get(change.turn)
        if sign is None:
            click.echo(f"  {change.path}: {_short(change.before)} → {_short(change.after)}")
        else:
            click.echo(f"{sign} {change.path}")


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _sentences(errors: Any) -> str:
    return "\n".join(f"{path}: {text}" if path else text for path, texts in errors.items() for text in texts)
