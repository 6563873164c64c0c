"""Contracts and consents: handed in, tied to images, withdrawn or run out, and what becomes of images."""

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import PurePosixPath

from sqlalchemy.engine import Connection

from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.errors import Conflict, Forbidden, NotFound, field_error
from crowd.images import contract_queries as sql
from crowd.images import queries
from crowd.images.checks import Found
from crowd.images.delivery_models import ContractWhat
from crowd.images.models import ImageState, Supplier, What
from crowd.images.rights import Rights, Use, expired, unsettled
from crowd.policy import Action, Policy
from crowd.runtime import Runtime

SWEEP = 100

# Called in a transaction with an image whose contract has ended: the task engine, which stands above this
# room, closes its open tasks and moves it (to withdrawn, or to held) under the image's lock. Whether it did.
ENDED_HOOKS: list[Callable[[Connection, int, What, str, datetime], bool]] = []

# Called in a transaction with images that are about to come under another contract: the data sets, which
# stand above this room, write down which of their images the contract before has ended.
TYING_HOOKS: list[Callable[[Connection, Collection[int], datetime], None]] = []


@dataclass(frozen=True, slots=True)
class NewContract:
    """A contract as it is handed in; `valid_from` and `valid_to` are the first and the last day."""

    kind: Rights
    title: str
    valid_from: date | None
    valid_to: date | None
    allows: Sequence[Use]


def add_contract(
    rt: Runtime, supplier: str, new: NewContract, document: bytes, file_name: str, by: int | None
) -> int:
    """Keep a contract with its file; its id. Raises a 422 about `kind`, `file` or `valid_to`."""
    if new.kind is Rights.UNKNOWN:
        raise field_error("kind", "A contract is owned, licensed or consent.")
    if not document:
        raise field_error("file", "the file is empty")
    if new.valid_from and new.valid_to and new.valid_to < new.valid_from:
        raise field_error("valid_to", "Is before valid_from.")
    key = keep_document(rt, document, file_name)
    now = clock.now()
    with rt.db.begin() as conn:
        contract_id = sql.add(
            conn,
            {
                "supplier_id": queries.named(conn, Supplier, supplier, now),
                "kind": new.kind,
                "title": new.title,
                "file_key": key,
                "file_name": file_name,
                "valid_from": new.valid_from,
                "valid_to": new.valid_to,
                "allows": [use.value for use in new.allows],
                "created_at": now,
            },
        )
        sql.add_event(conn, contract_id, ContractWhat.ADDED, by, "", now)
    return contract_id


def add_contract_once(rt: Runtime, supplier: str, new: NewContract, document: bytes, file_name: str) -> int:
    """The supplier's contract with this very document that still holds, else a new one."""
    key = keep_document(rt, document, file_name)
    with rt.db.read() as conn:
        found = sql.with_file(conn, supplier, new.kind, key)
    return found if found is not None else add_contract(rt, supplier, new, document, file_name, None)


def keep_document(rt: Runtime, document: bytes, file_name: str) -> str:
    """Keep a document under its hash. Returns its storage key."""
    suffix = "".join(char for char in PurePosixPath(file_name).suffix.lower() if char.isalnum())[:10]
    key = f"proofs/{hashlib.sha256(document).hexdigest()}{f'.{suffix}' if suffix else ''}"
    if not rt.storage.exists(key):
        rt.storage.put(key, document)
    return key


def find(conn: Connection, contract_id: int, supplier_id: int | None = None) -> AnyRow:
    """The contract, of that supplier if one is given. Raises NotFound."""
    found = sql.one(conn, contract_id)
    if found is None or supplier_id not in (None, found.supplier_id):
        raise NotFound("no_such_contract", f"There is no contract {contract_id}.")
    return found


def find_nameable(conn: Connection, contract_id: int, supplier_id: int | None) -> AnyRow:
    """The contract, if images may be put under it by name. Raises NotFound, and a 422 about `contract_id`."""
    found = find(conn, contract_id, supplier_id)
    if found.kind is Rights.UNKNOWN:
        text = (
            "It stands for what admins decided of single images; name a contract, a consent or a declaration."
        )
        raise field_error("contract_id", text)
    return found


def withdraw(conn: Connection, contract_id: int, supplier_id: int | None, by: int | None, why: str) -> None:
    """End a contract for good: nothing under it is shown from now on, and a job takes its images out of work.

    Raises NotFound, and Conflict `withdrawn`.
    """
    find(conn, contract_id, supplier_id)
    contract = sql.one(conn, contract_id, locked=True)
    assert contract is not None
    if contract.withdrawn_at is not None:
        raise Conflict("withdrawn", "The contract was withdrawn before.")
    now = clock.now()
    sql.withdraw(conn, contract_id, now)
    sql.add_event(conn, contract_id, ContractWhat.WITHDRAWN, by, why, now)


def tie(conn: Connection, image_ids: Collection[int], contract: AnyRow) -> None:
    """Put images, which the caller has locked, under a contract; theirs are its rights from now on."""
    for hook in TYING_HOOKS:
        hook(conn, image_ids, clock.now())
    sql.tie(conn, image_ids, contract.id, contract.kind)


def has_ended(image: AnyRow, today: date) -> bool:
    """Whether the contract of an image, as `queries.image_file` gives it, no longer lets us show it."""
    return image.withdrawn_at is not None or (image.valid_to is not None and image.valid_to < today)


def require_shown(conn: Connection, image_id: int, today: date) -> None:
    """Raises Forbidden for an image that was withdrawn, or whose contract has ended."""
    image = queries.image_file(conn, image_id)
    if image is not None and (image.state is ImageState.WITHDRAWN or has_ended(image, today)):
        raise Forbidden("rights_ended", f"Image {image_id} may no longer be shown.")


def fault_of(conn: Connection, image_id: int, policy: Policy, today: date) -> tuple[str, str] | None:
    """What keeps an admin from letting an image in or through: its contract has ended, or no proof is there.

    Rights that are unknown do not: an admin who lets the image in settles them (`settle`), unless policy
    wants proof.
    """
    image = queries.contract_of(conn, image_id)
    assert image is not None
    proof_required = policy.intake.proof_required
    if image.contract_id is None and not proof_required:
        return None
    terms = sql.terms_of(image) if image.contract_id else None
    return unsettled(image.rights, terms, today, proof_required=proof_required)


def settle(conn: Connection, image_id: int, contract_id: int | None, policy: Policy, now: datetime) -> None:
    """An admin lets an image in, which they have locked: from now on it is under a contract that holds.

    That is the one they name; else its own; else what its supplier declared, or, where nobody knows by what
    right it came, one that stands for the admin's word. Raises NotFound, a 422 about `contract_id`, and
    Conflict with the code of what keeps the image from use.
    """
    image = queries.contract_of(conn, image_id)
    assert image is not None
    if contract_id is not None:
        contract = find_nameable(conn, contract_id, image.supplier_id)
        require_holding(conn, contract, policy, now.date())
        tie(conn, [image_id], contract)
        return
    if fault := fault_of(conn, image_id, policy, now.date()):
        raise Conflict(fault[0], f"{fault[1]}: name a contract or consent that holds (contract_id).")
    if image.contract_id is None:
        own = sql.declared(conn, image.supplier_id, image.rights, now)
        tie(conn, [image_id], find(conn, own or sql.by_word(conn, image.supplier_id, now)))


def require_holding(conn: Connection, contract: AnyRow, policy: Policy, today: date) -> None:
    """Raises a 422 about `contract_id` unless images may be used under the contract today."""
    if fault := fault_under(conn, contract, policy, today):
        raise field_error("contract_id", fault[1])


def fault_under(conn: Connection, contract: AnyRow, policy: Policy, today: date) -> tuple[str, str] | None:
    """Code and sentence of what keeps the images of a contract from use; it is not withdrawn meanwhile."""
    terms = sql.terms_held(conn, contract.id)
    return unsettled(contract.kind, terms, today, proof_required=policy.intake.proof_required)


def sweep_ended(rt: Runtime) -> int:
    """Take the images of ended contracts out of work and out of future releases; how many there were.

    A withdrawn contract withdraws its images for good; one that ran out holds them, for it may be renewed.
    Transactions are short, one a hundred images; cut off, the next call goes on.
    """
    swept = 0
    while True:
        now = clock.now()
        with rt.db.read() as conn:
            contract = sql.ended_unswept(conn, now.date())
        if contract is None:
            return swept
        swept += _sweep(rt, contract)


def _sweep(rt: Runtime, contract: AnyRow) -> int:
    withdrawn = contract.withdrawn_at is not None
    what, reason = (What.WITHDRAWN, "rights_withdrawn") if withdrawn else (What.HELD, "rights_expired")
    after, swept = 0, 0
    while True:
        now = clock.now()
        with rt.db.begin() as conn:
            ids = sql.in_use(conn, contract.id, after, SWEEP)
            moved = [each for each in ids for hook in ENDED_HOOKS if hook(conn, each, what, reason, now)]
            if not withdrawn:
                ran_out = expired(contract.valid_to)
                for image_id in moved:
                    queries.add_findings(conn, image_id, [Found(*ran_out, Action.HOLD)])
            if len(ids) < SWEEP:
                sql.finish_sweep(conn, contract.id, now)
                if not withdrawn:
                    sql.add_event(conn, contract.id, ContractWhat.EXPIRED, None, f"{contract.valid_to}", now)
                return swept + len(ids)
        after, swept = ids[-1], swept + len(ids)
