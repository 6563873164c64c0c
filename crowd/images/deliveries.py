"""Deliveries: what a supplier hands in under one name, how it moves on, and what became of each file."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from crowd.accounts.auth import Actor
from crowd.accounts.models import AccountKind
from crowd.core import clock
from crowd.core.db import AnyRow, Database
from crowd.core.errors import Conflict, Forbidden, NotFound
from crowd.images import contract_queries, contracts, history, queries
from crowd.images import delivery_queries as sql
from crowd.images.delivery_models import KNOWN, ContractWhat, Step
from crowd.images.history import Happening, record
from crowd.images.models import ImageState, Supplier, What
from crowd.images.rights import Rights
from crowd.images.service import READY_HOOKS, Intake, clean_path
from crowd.policy import Action, Stage
from crowd.runtime import Runtime

# Called in a transaction with a locked image that was held because its contract ran out, what its history
# says of that, who put it under a contract that holds, and why: the task engine takes it to where it stood.
RENEWED_HOOKS: list[
    Callable[[Connection, int, Mapping[str, Any], int | None, Mapping[str, Any], datetime], None]
] = []

PAGE = 500
OPEN_PAGE = 50

# Who moves a delivery from one step to the next; an admin may each of it.
MOVES: Mapping[tuple[Step, Step], frozenset[AccountKind]] = {
    (Step.RECEIVED, Step.SORTED): frozenset({AccountKind.SUPPLIER, AccountKind.REFINER}),
    (Step.SORTED, Step.REFINED): frozenset({AccountKind.REFINER}),
    (Step.REFINED, Step.HANDED_OVER): frozenset({AccountKind.REFINER}),
}
REPORT_COLUMNS = ("file", "image", "state", "codes", "details")


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A delivery as it is announced; `handed_over` when it comes in by the labelling side itself."""

    supplier: str
    name: str
    rights: Rights
    contract_id: int | None = None
    handed_over: bool = False


def open_delivery(conn: Connection, new: NewDelivery, by: int | None, now: datetime) -> AnyRow:
    """The supplier's delivery of that name, begun if it is new.

    Raises NotFound for a contract that is not the supplier's, and a 422 for one that is not to be named.
    """
    supplier_id = queries.named(conn, Supplier, new.supplier, now)
    if new.contract_id is not None:
        contracts.find_nameable(conn, new.contract_id, supplier_id)
    step = Step.HANDED_OVER if new.handed_over else Step.RECEIVED
    values = {
        "supplier_id": supplier_id,
        "name": new.name,
        "rights": new.rights,
        "contract_id": new.contract_id,
        "step": step,
        "created_at": now,
    }
    found, is_new = sql.find_or_add(conn, values)
    if is_new:
        sql.move(conn, found.id, Step.RECEIVED, by, "", now)
        if new.handed_over:
            sql.move(conn, found.id, step, by, "taken in by the labelling side", now)
    return found


def find(conn: Connection, delivery_id: int, supplier_id: int | None) -> AnyRow:
    """The delivery, of that supplier if one is given. Raises NotFound."""
    found = sql.one(conn, delivery_id)
    if found is None or supplier_id not in (None, found.supplier_id):
        raise NotFound("no_such_delivery", f"There is no delivery {delivery_id}.")
    return found


def move_on(conn: Connection, delivery_id: int, step: Step, actor: Actor, why: str) -> None:
    """Move a delivery to its next step; the images follow by `open_waiting`.

    Raises NotFound, Conflict `step` (not the next one), and Forbidden `account_kind`.
    """
    delivery = sql.one(conn, delivery_id, locked=True)
    if delivery is None:
        raise NotFound("no_such_delivery", f"There is no delivery {delivery_id}.")
    movers = MOVES.get((delivery.step, step))
    if movers is None:
        raise Conflict("step", f"The delivery is {delivery.step}; {step} is not the step after that.")
    if actor.kind not in movers and not actor.is_admin:
        raise Forbidden("account_kind", f"A {actor.kind} does not move a delivery to {step}.")
    if step is Step.HANDED_OVER and (left := sql.pending(conn, delivery_id)):
        raise Conflict("pending", f"{left} files of the delivery have not been looked at yet.")
    sql.move(conn, delivery_id, step, actor.id, why, clock.now())


def open_waiting(rt: Runtime, delivery_id: int) -> int:
    """Let labellers have the images of a delivery that was handed over; how many. Cut off, call it again."""
    opened = 0
    while True:
        now = clock.now()
        with rt.db.begin() as conn:
            images = sql.waiting(conn, delivery_id, OPEN_PAGE)
            sql.stop_waiting(conn, [image.id for image in images])
            for image in images:
                if image.state is ImageState.IN_WORK and image.width is not None:
                    _announce(conn, image.id, now)
        opened += len(images)
        if len(images) < OPEN_PAGE:
            return opened


def open_all_waiting(rt: Runtime) -> int:
    """The same for every delivery that was handed over: what a process that died left behind."""
    opened = 0
    while True:
        with rt.db.read() as conn:
            delivery_id = sql.handed_over_with_waiting(conn)
        if delivery_id is None:
            return opened
        opened += open_waiting(rt, delivery_id)


def settle_rights(rt: Runtime, delivery_id: int, contract_id: int, actor: Actor, why: str) -> int:
    """Put a delivery's held images under a contract; those held for their rights alone are let in. How many.

    They go to work; where a contract had run out meanwhile, each goes back to where it stood.

    Raises NotFound, and a 422 about `contract_id` for one that does not hold.
    """
    with rt.db.begin() as conn:
        delivery = find(conn, delivery_id, None)
        contract = contracts.find_nameable(conn, contract_id, delivery.supplier_id)
    released, after = 0, 0
    while True:
        with rt.db.begin() as conn:
            contracts.require_holding(conn, contract, rt.policy, clock.now().date())
            held = sql.held_for(conn, delivery_id, after, PAGE)
            contracts.tie(conn, [image.id for image in held], contract)
            released += _let_in_those(conn, held, actor.id, {"contract": contract_id, "comment": why})
        if len(held) < PAGE:
            return released
        after = held[-1].id


def let_in_begun(rt: Runtime) -> int:
    """Let in what was held until its contract's first day, which has come; how many.

    Cut off, call it again.
    """
    let_in = 0
    while True:
        now = clock.now()
        with rt.db.read() as conn:
            contract = contract_queries.begun(conn, now.date())
        if contract is None:
            return let_in
        let_in += _begin(rt, contract)


def _begin(rt: Runtime, contract: AnyRow) -> int:
    let_in, after = 0, 0
    while True:
        now = clock.now()
        with rt.db.begin() as conn:
            held: Sequence[AnyRow] = ()
            if contracts.fault_under(conn, contract, rt.policy, now.date()) is None:
                held = sql.held_under(conn, contract.id, after, PAGE)
                let_in += _let_in_those(conn, held, None, {"contract": contract.id})
            if len(held) < PAGE:
                told = f"{contract.valid_from}"
                contract_queries.add_event(conn, contract.id, ContractWhat.BEGUN, None, told, now)
                return let_in
        after = held[-1].id


def _let_in_those(
    conn: Connection, held: Sequence[AnyRow], actor_id: int | None, why: Mapping[str, Any]
) -> int:
    """Let in those of the held images that were held for their rights alone; how many."""
    ids = [image.id for image in held]
    holding, whys = sql.findings_of(conn, ids), history.held_whys(conn, ids)
    let_in = 0
    for image in held:
        codes = [each.code for each in holding.get(image.id, ()) if each.action is Action.HOLD]
        ran_out = whys.get(image.id, {})
        ran_out = ran_out if ran_out.get("reason") == "rights_expired" else {}
        if ran_out or (codes and all(code.startswith("rights_") for code in codes)):
            _let_in(conn, image, ran_out, actor_id, why)
            let_in += 1
    return let_in


def note_refused(
    conn: Connection, delivery_id: int, refused: Sequence[tuple[str, str, str]], now: datetime
) -> None:
    """Files (path, code, detail) of a delivery that did not become images."""
    rows = [
        {
            "delivery_id": delivery_id,
            "at": now,
            "file_name": clean_path(name),
            "code": code[:40],
            "detail": detail,
        }
        for name, code, detail in refused
    ]
    sql.refuse(conn, rows)


def report(conn: Connection, delivery_id: int) -> dict[str, Any]:
    """What became of a delivery: files taken, held, refused and still to be looked at, and by what reason."""
    states = sql.states(conn, delivery_id)
    refused_files = dict(sql.refused_files(conn, delivery_id))
    known = refused_files.pop(KNOWN, 0)
    refused = sum(refused_files.values())
    pending = sql.pending(conn, delivery_id)
    in_work = states.get(ImageState.IN_WORK, 0) + states.get(ImageState.ACCEPTED, 0)
    reasons = [
        {"code": code, "action": action, "files": files}
        for code, action, files in sql.reasons(conn, delivery_id)
    ]
    reasons += [
        {"code": code, "action": Action.REFUSE, "files": files} for code, files in refused_files.items()
    ]
    return {
        "files": sum(states.values()) + refused + known,
        "taken": in_work,
        "held": states.get(ImageState.HELD, 0),
        "refused": states.get(ImageState.REFUSED, 0) + refused,
        "known": known,
        "withdrawn": states.get(ImageState.WITHDRAWN, 0),
        "pending": pending,
        "reasons": reasons,
    }


def report_rows(db: Database, delivery_id: int) -> Iterator[dict[str, str]]:
    """One row for each file, in the order in which they came; read page by page."""
    after = 0
    while True:
        with db.read() as conn:
            images = sql.images(conn, delivery_id, after, PAGE)
            found = sql.findings_of(conn, [image.id for image in images])
        for image in images:
            told = found.get(image.id, [])
            yield {
                "file": path_of(image),
                "image": str(image.id),
                "state": "pending" if image.pending else state_told(image.state),
                "codes": " ".join(each.code for each in told),
                "details": "; ".join(each.detail for each in told),
            }
        if len(images) < PAGE:
            break
        after = images[-1].id
    after = 0
    while True:
        with db.read() as conn:
            refused = sql.refusals(conn, delivery_id, after, PAGE)
        for each in refused:
            yield {
                "file": each.file_name,
                "image": "",
                "state": KNOWN if each.code == KNOWN else "refused",
                "codes": each.code,
                "details": each.detail,
            }
        if len(refused) < PAGE:
            return
        after = refused[-1].id


def report_csv(db: Database, delivery_id: int) -> Iterator[str]:
    """The rows as CSV for spreadsheets: with a byte order mark, no cell that one would run as a formula."""
    yield "\ufeff" + _csv_line(dict(zip(REPORT_COLUMNS, REPORT_COLUMNS, strict=True)))
    for row in report_rows(db, delivery_id):
        yield _csv_line(row)


def path_of(image: AnyRow) -> str:
    """Where an image's file lay in what it came with, and its name."""
    return f"{image.folder}/{image.file_name}" if image.folder else str(image.file_name)


def state_told(state: ImageState) -> str:
    """An image's state as a supplier is told it: how far labelling is, is none of theirs."""
    return "taken" if state in (ImageState.IN_WORK, ImageState.ACCEPTED) else state.value


# What stands behind the words that suppliers are told.
STATES_TOLD: Mapping[str, Sequence[ImageState]] = {
    "taken": (ImageState.IN_WORK, ImageState.ACCEPTED),
    "held": (ImageState.HELD,),
    "refused": (ImageState.REFUSED,),
    "withdrawn": (ImageState.WITHDRAWN,),
}


def refused_intake(problem_code: str, detail: str) -> tuple[str, str]:
    """Code and sentence of a file that did not become an image, fit to be kept."""
    return problem_code[:40], detail[:1000]


def as_told(intake: Intake) -> dict[str, Any]:
    """The intake decision on one file, for the supplier."""
    return {
        "image_id": intake.image_id,
        "state": state_told(intake.state),
        "known": intake.known,
        "findings": intake.findings,
    }


def _let_in(
    conn: Connection, image: AnyRow, ran_out: Mapping[str, Any], actor_id: int | None, why: Mapping[str, Any]
) -> None:
    now = clock.now()
    reasons = {"reason": "rights_settled", **why}
    if "was" in ran_out:
        for hook in RENEWED_HOOKS:
            hook(conn, image.id, ran_out, actor_id, reasons, now)
        return
    reopened = Happening(What.REOPENED, worker_id=actor_id, target=Stage.SEGMENTATION, why=reasons)
    record(conn, image.id, reopened, now)
    if not image.waiting and image.width is not None:
        _announce(conn, image.id, now)


def _announce(conn: Connection, image_id: int, now: datetime) -> None:
    for hook in READY_HOOKS:
        hook(conn, image_id, now)


def _csv_line(row: Mapping[str, str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([_harmless(row[column]) for column in REPORT_COLUMNS])
    return out.getvalue()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
