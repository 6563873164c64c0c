"""`crowd import`: images in from a file, folder, zip, manifest or bucket, with progress; can be run again."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import click

from crowd.commands.opening import open_runtime
from crowd.commands.showing import rate_bar
from crowd.core import clock
from crowd.core.errors import Problem, Unavailable, field_error
from crowd.images import contracts, deliveries, queries
from crowd.images.contracts import NewContract
from crowd.images.deliveries import NewDelivery
from crowd.images.rights import Rights, Use
from crowd.images.service import Delivery, Intake, clean_name, keep_original, name_fault, take_file
from crowd.images.sources import Findings, Source, SourceError, SourceItem, open_source
from crowd.runtime import Runtime

CHUNK = 50
# A job worker makes several working images a second; this long without one means there is none.
PATIENCE_SECONDS = 20.0
# Of each kind of message so many are printed; the report has all of them.
MOST_TOLD = 50


@dataclass
class Tally:
    """What an import has come to so far."""

    taken: Counter[str] = field(default_factory=Counter)
    problems: int = 0
    delivery_ids: dict[str, int] = field(default_factory=dict)


@click.command("import")
@click.argument("path")
@click.option("--supplier", required=True, help="Whose images these are; a new name is added.")
@click.option("--batch", help="The hand-over they belong to.")
@click.option(
    "--rights", "rights_name", help="owned, licensed or consent, for all of them; or a file (see below)."
)
@click.option("--wait/--no-wait", default=True, help="Wait until job workers have made the working images.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what became of each file here: as CSV, or as JSON if the name ends so.",
)
def import_images(
    path: str, supplier: str, batch: str | None, rights_name: str | None, wait: bool, report: Path | None
) -> None:
    """Bring in the images at PATH: an image, folder, zip, CSV/JSONL manifest, or s3://bucket/prefix.

    --rights names the right for all images, or the file that proves their consent.
    Without it the images are held until an admin settles their rights. An interrupted import
    can be run again: what is there already is recognised.
    """
    for option, name in (("--supplier", supplier), ("--batch", batch)):
        if name is not None and (fault := name_fault(name)):
            raise field_error(option, fault)
    with open_runtime() as rt, open_source(path) as source:
        common = _common(rt, supplier.strip(), batch, rights_name)
        tally = _take_all(rt, source, common, _delivery_name(path, batch))
        _tell(tally, source.findings)
        if wait and tally.taken["new"]:
            _await_working_images(rt)
        _tell_findings(rt, tally)
        if report:
            _write_report(rt, tally, report)
    if tally.problems:
        raise SystemExit(2)


def _common(rt: Runtime, supplier: str, batch: str | None, rights_name: str | None) -> Delivery:
    """What every file of the import comes with."""
    if rights_name is None:
        return Delivery(supplier, "", Rights.UNKNOWN, batch)
    if rights_name in set(Rights):
        return Delivery(supplier, "", Rights(rights_name), batch)
    proof = Path(rights_name)
    if not proof.is_file():
        raise field_error("--rights", f"{rights_name!r} is neither a file nor one of {', '.join(Rights)}")
    new = NewContract(Rights.CONSENT, proof.name[:200], None, None, list(Use))
    contract_id = contracts.add_contract_once(rt, supplier, new, proof.read_bytes(), clean_name(proof.name))
    return Delivery(supplier, "", Rights.CONSENT, batch, contract_id=contract_id)


def _delivery_name(path: str, batch: str | None) -> str:
    """The delivery's name: the batch's, else that of the last part of the path."""
    name = batch or clean_name(path.rstrip("/"))[:200]
    return name if name_fault(name) is None else "import"


def _take_all(rt: Runtime, source: Source, common: Delivery, delivery_name: str) -> Tally:
    tally = Tally()
    with rate_bar() as bar:
        step = bar.add_task("Reading", total=len(source))
        items = iter(source)
        while chunk := list(islice(items, CHUNK)):
            _take_chunk(rt, chunk, common, delivery_name, tally)
            rt.queue.nudge("images")
            bar.advance(step, len(chunk))
    delivery_id = _delivery_of(rt, common, delivery_name, tally)
    passed_over = ((each["name"], each["code"], each["detail"]) for each in source.findings)
    while some := list(islice(passed_over, CHUNK)):
        with rt.db.begin() as conn:
            deliveries.note_refused(conn, delivery_id, some, clock.now())
    return tally


def _take_chunk(
    rt: Runtime, chunk: list[SourceItem], common: Delivery, delivery_name: str, tally: Tally
) -> None:
    """Files are read and kept before the transaction, which then lasts milliseconds."""
    kept: list[tuple[bytes, Delivery]] = []
    for item in chunk:
        try:
            kept.append(_keep(rt, item, common, delivery_name, tally))
        except (Problem, OSError) as problem:
            _note(rt, item, problem, common, delivery_name, tally)
    with rt.db.begin() as conn:
        intakes = [take_file(conn, rt.policy, *each, None) for each in kept]
    tally.taken.update(_kind(intake) for intake in intakes)


def _keep(
    rt: Runtime, item: SourceItem, common: Delivery, delivery_name: str, tally: Tally
) -> tuple[bytes, Delivery]:
    """The item's hash, its bytes kept in the storage, and what came with it. Raises Problem and OSError."""
    delivery = _delivery(item, common)
    data = item.open()
    if not data:
        raise SourceError(f"{item.name}: the file is empty")
    delivery_id = _delivery_of(rt, delivery, delivery_name, tally)
    return keep_original(rt, data), replace(delivery, delivery_id=delivery_id)


def _delivery(item: SourceItem, common: Delivery) -> Delivery:
    if item.rights is not None and item.rights not in set(Rights):
        raise SourceError(f"{item.name}: rights {item.rights!r} is not one of {', '.join(Rights)}")
    for column, name in (("supplier", item.supplier), ("batch", item.batch)):
        if name and (fault := name_fault(name)):
            raise SourceError(f"{item.name}: {column} {fault}")
    supplier = item.supplier or common.supplier
    rights = Rights(item.rights) if item.rights else common.rights
    # The proof is that of the supplier and the right on the command line.
    covered = supplier == common.supplier and rights is common.rights
    return replace(
        common,
        file_name=item.name,
        supplier=supplier,
        rights=rights,
        batch=item.batch or common.batch,
        contract_id=common.contract_id if covered else None,
    )


def _delivery_of(rt: Runtime, delivery: Delivery, name: str, tally: Tally) -> int:
    """The supplier's delivery of that name, begun if it is new."""
    if delivery.supplier not in tally.delivery_ids:
        new = NewDelivery(delivery.supplier, name, delivery.rights, delivery.contract_id, handed_over=True)
        with rt.db.begin() as conn:
            found = deliveries.open_delivery(conn, new, None, clock.now())
        tally.delivery_ids[delivery.supplier] = found.id
    return tally.delivery_ids[delivery.supplier]


def _note(
    rt: Runtime, item: SourceItem, problem: Exception, common: Delivery, delivery_name: str, tally: Tally
) -> None:
    tally.problems += 1
    if tally.problems <= MOST_TOLD:
        click.echo(f"not taken: {problem}", err=True)
    if _passes(problem):
        # Nothing was decided about the file; the same command takes it later.
        return
    code = problem.code if isinstance(problem, Problem) else "unreadable"
    delivery_id = _delivery_of(rt, common, delivery_name, tally)
    with rt.db.begin() as conn:
        deliveries.note_refused(conn, delivery_id, [(item.name, code, str(problem))], clock.now())


def _passes(problem: Exception) -> bool:
    """Whether it may go well the next time: what was away is a disk or a bucket, not the file itself."""
    cause = problem.__cause__ if isinstance(problem, SourceError) else problem
    of_the_file = isinstance(problem, SourceError) and isinstance(
        cause, FileNotFoundError | PermissionError | IsADirectoryError
    )
    return isinstance(cause, Unavailable | OSError) and not of_the_file


def _kind(intake: Intake) -> str:
    if intake.known:
        return "known"
    return "duplicate" if any(each.code == "duplicate" for each in intake.findings) else "new"


def _tell(tally: Tally, findings: Findings) -> None:
    taken = tally.taken
    click.echo(
        f"{taken['new']} new, {taken['duplicate']} duplicates refused, {taken['known']} already there, "
        f"{tally.problems} not taken"
    )
    for finding in islice(findings, MOST_TOLD):
        click.echo(f"passed over: {finding['detail']}", err=True)
    if len(findings) > MOST_TOLD:
        click.echo(f"passed over: {len(findings) - MOST_TOLD} more", err=True)


def _await_working_images(rt: Runtime) -> None:
    """Show how the job workers get on; Ctrl-C or their absence loses nothing."""
    with rt.db.read() as conn:
        left = total = queries.unprepared(conn)
    moved = time.monotonic()
    with rate_bar() as bar:
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


def _tell_findings(rt: Runtime, tally: Tally) -> None:
    """On stderr: files that were refused or held, each with its reason."""
    told = 0
    for row in _rows(rt, tally):
        if row["state"] in ("refused", "held") and row["image"]:
            told += 1
            if told <= MOST_TOLD:
                click.echo(f"{row['state']}: {row['file']}: {row['details']}", err=True)
    if told > MOST_TOLD:
        click.echo(f"{told - MOST_TOLD} more were refused or held", err=True)


def _rows(rt: Runtime, tally: Tally) -> Iterator[dict[str, str]]:
    for delivery_id in tally.delivery_ids.values():
        yield from deliveries.report_rows(rt.db, delivery_id)


def _write_report(rt: Runtime, tally: Tally, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix.lower() != ".json":
            for delivery_id in tally.delivery_ids.values():
                file.writelines(deliveries.report_csv(rt.db, delivery_id))
            return
        told = []
        for supplier, delivery_id in tally.delivery_ids.items():
            with rt.db.read() as conn:
                summary = deliveries.report(conn, delivery_id)
            rows = list(deliveries.report_rows(rt.db, delivery_id))
            told.append({"supplier": supplier, "delivery": delivery_id, "report": summary, "files": rows})
        json.dump(told, file, ensure_ascii=False, indent=1)
