"""`crowd import`: images in from a file, folder, zip or manifest, with progress; can be run again."""

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import click

from crowd.commands.opening import open_runtime
from crowd.commands.showing import progress_bar
from crowd.core.errors import Problem, field_error
from crowd.images import queries
from crowd.images.models import Rights
from crowd.images.service import Delivery, Intake, keep_original, keep_proof, name_fault, take_file
from crowd.images.sources import Source, SourceError, SourceItem, open_source
from crowd.runtime import Runtime

CHUNK = 50
# A job worker makes several working images a second; this long without one means there is none.
PATIENCE_SECONDS = 20.0


@click.command("import")
@click.argument("path")
@click.option("--supplier", required=True, help="Whose images these are; a new name is added.")
@click.option("--batch", help="The hand-over they belong to.")
@click.option(
    "--rights", "rights_name", help="owned, licensed or consent, for all of them; or a file (see below)."
)
@click.option("--wait/--no-wait", default=True, help="Wait until job workers have made the working images.")
def import_images(path: str, supplier: str, batch: str | None, rights_name: str | None, wait: bool) -> None:
    """Bring in the images at PATH: an image, folder, zip, or CSV/JSONL manifest.

    --rights names the right for all images, or the file that proves their consent.
    Without it the images are held until an admin settles their rights. An interrupted import
    can be run again: what is there already is recognised.
    """
    for option, name in (("--supplier", supplier), ("--batch", batch)):
        if name is not None and (fault := name_fault(name)):
            raise field_error(option, fault)
    with open_runtime() as rt, open_source(path) as source:
        rights, proof = _rights(rt, rights_name)
        common = Delivery(supplier.strip(), "", rights, batch, proof)
        taken, added, problems = _take_all(rt, source, common)
        _report(taken, problems, source.findings)
        if wait and added:
            _await_working_images(rt)
            _report_unreadable(rt, added)
    if problems:
        raise SystemExit(2)


def _rights(rt: Runtime, name: str | None) -> tuple[Rights, str | None]:
    if name is None:
        return Rights.UNKNOWN, None
    if name in set(Rights):
        return Rights(name), None
    proof = Path(name)
    if not proof.is_file():
        raise field_error("--rights", f"{name!r} is neither a file nor one of {', '.join(Rights)}")
    return Rights.CONSENT, keep_proof(rt, proof.read_bytes(), proof.suffix)


def _take_all(rt: Runtime, source: Source, common: Delivery) -> tuple[Counter[str], list[int], list[str]]:
    taken: Counter[str] = Counter()
    added: list[int] = []
    problems: list[str] = []
    with progress_bar() as bar:
        step = bar.add_task("Reading", total=len(source))
        items = list(source)
        for start in range(0, len(items), CHUNK):
            chunk = items[start : start + CHUNK]
            # Files are read and kept before the transaction, which then lasts milliseconds.
            deliveries = [found for item in chunk if (found := _keep(rt, item, common, problems))]
            with rt.db.begin() as conn:
                intakes = [take_file(conn, rt.policy, *found, None) for found in deliveries]
            taken.update(_kind(intake) for intake in intakes)
            added += [intake.image_id for intake in intakes if _kind(intake) == "new"]
            rt.queue.nudge("images")
            bar.advance(step, len(chunk))
    return taken, added, problems


def _keep(
    rt: Runtime, item: SourceItem, common: Delivery, problems: list[str]
) -> tuple[bytes, Delivery] | None:
    """The item's hash, its bytes kept in the storage, and what came with it; None with a problem told."""
    try:
        delivery = _delivery(item, common)
        data = item.open()
        if not data:
            raise SourceError(f"{item.name}: the file is empty")
        return keep_original(rt, data), delivery
    except (Problem, OSError) as error:
        problems.append(str(error))
        return None


def _delivery(item: SourceItem, common: Delivery) -> Delivery:
    if item.rights is not None and item.rights not in set(Rights):
        raise SourceError(f"{item.name}: rights {item.rights!r} is not one of {', '.join(Rights)}")
    for column, name in (("supplier", item.supplier), ("batch", item.batch)):
        if name and (fault := name_fault(name)):
            raise SourceError(f"{item.name}: {column} {fault}")
    return replace(
        common,
        file_name=item.name,
        supplier=item.supplier or common.supplier,
        rights=Rights(item.rights) if item.rights else common.rights,
        batch=item.batch or common.batch,
    )


def _kind(intake: Intake) -> str:
    if intake.known:
        return "known"
    return "duplicate" if any(each["code"] == "duplicate" for each in intake.findings) else "new"


def _report(taken: Counter[str], problems: list[str], findings: list[dict[str, str]]) -> None:
    click.echo(
        f"{taken['new']} new, {taken['duplicate']} duplicates refused, {taken['known']} already there, "
        f"{len(problems)} not taken"
    )
    for finding in findings:
        click.echo(f"passed over: {finding['detail']}", err=True)
    for problem in problems:
        click.echo(f"not taken: {problem}", err=True)


def _await_working_images(rt: Runtime) -> None:
    """Show how the job workers get on; Ctrl-C or their absence loses nothing."""
    with rt.db.read() as conn:
        left = total = queries.unprepared(conn)
    moved = time.monotonic()
    with progress_bar() as bar:
        step = bar.add_task("Working images", total=total)
        while left and time.monotonic() - moved < PATIENCE_SECONDS:
            time.sleep(0.3)
            rt.queue.nudge("images")
            with rt.db.read() as conn:
                now_left = queries.unprepared(conn)
            if now_left != left:
                moved = time.monotonic()
            left = now_left
            bar.update(step, completed=total - left)
    if left:
        click.echo(f"{left} working images are still to be made; a job worker does that when it runs.")


def _report_unreadable(rt: Runtime, added: list[int]) -> None:
    for start in range(0, len(added), CHUNK):
        with rt.db.read() as conn:
            rows = queries.refused_names(conn, added[start : start + CHUNK])
        for row in rows:
            click.echo(f"refused: {row.file_name}: {row.detail}", err=True)
