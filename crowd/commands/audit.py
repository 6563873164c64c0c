"""`crowd audit`: the final audit, as an administrator at the machine itself draws it and reads it."""

import json

import click

from crowd.audits import figures, queries, service
from crowd.commands.opening import open_runtime
from crowd.commands.saying import reason_option
from crowd.core.clock import rfc3339
from crowd.core.db import AnyRow

CHUNK = 500


@click.group()
def audit() -> None:
    """Judge a sample of what is accepted, before it is released."""


@audit.command()
@click.option("--supplier", help="Only this supplier's images.")
@click.option("--batch", help="Only this batch's images.")
@click.option("--confidence", type=click.FloatRange(0.5, 0.9999), help="Default: policy's.")
@click.option(
    "--tolerable-rate", type=click.FloatRange(0, 0.5, min_open=True), help="Of the lot. Default: policy's."
)
@click.option("--allowed-wrong", type=click.IntRange(0, 1000), help="In the sample. Default: policy's.")
@click.option("--seed", type=click.IntRange(0, service.MOST_SEED), help="Default: thrown, and kept.")
@reason_option()
def draw(
    supplier: str | None,
    batch: str | None,
    confidence: float | None,
    tolerable_rate: float | None,
    allowed_wrong: int | None,
    seed: int | None,
    reason: str,
) -> None:
    """Draw a sample of the accepted images; experts get its seats with their next claims."""
    with open_runtime() as rt:
        usual = rt.policy.audit
        wanted = service.Wanted(
            supplier,
            batch,
            usual.confidence if confidence is None else confidence,
            usual.tolerable_rate if tolerable_rate is None else tolerable_rate,
            usual.allowed_wrong if allowed_wrong is None else allowed_wrong,
            seed,
            reason,
        )
        audit_id = service.draw(rt.db, wanted, by=None)
        with rt.db.read() as conn:
            found = service.find_audit(conn, audit_id)
    click.echo(f"Audit {found.id} of {service.words(found)}: {found.size} of {found.lot} images.")
    click.echo(f"It passes with up to {found.allowed_wrong} wrong ones; seed {found.seed}.")


@audit.command()
@click.argument("audit_id", type=int, required=False)
def show(audit_id: int | None) -> None:
    """Show every audit, or the rates that one of them found."""
    with open_runtime() as rt:
        if audit_id is not None:
            with rt.db.read() as conn:
                found = service.find_audit(conn, audit_id)
                rates = figures.figures(conn, found)
                signed = queries.signatures(conn, audit_id)
            click.echo(_line(found))
            for rate in rates:
                name = rate["name"] or service.words(found)
                share = "" if rate["rate"] is None else f"{rate['rate']:.2%}"
                bounds = f"{rate['lower']:.2%} to {rate['upper']:.2%}"
                click.echo(
                    f"{rate['by']:<9} {name:<30} {rate['wrong']:>5}/{rate['judged']:<5} {share:>7} {bounds}"
                )
            for row in signed:
                # In one line, whatever somebody wrote: another line would read as another signature.
                comment = json.dumps(row.comment, ensure_ascii=False)
                click.echo(f"signed {rfc3339(row.at)} {row.who}: {row.opinion} {comment}")
            return
        after: int | None = None
        while True:
            with rt.db.read() as conn:
                rows = queries.audits(conn, after=after, limit=CHUNK)
            for row in rows:
                click.echo(_line(row))
            if len(rows) < CHUNK:
                return
            after = rows[-1].id


def _line(row: AnyRow) -> str:
    judged = f"{row.judged}/{row.size} judged, {row.wrong} wrong"
    return f"{row.id:>6}  {row.state:<8} {judged:<28} {rfc3339(row.drawn_at)}  {service.words(row)}"
