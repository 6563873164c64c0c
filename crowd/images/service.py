"""Intake: a file comes in, is recognised or kept, decided on, and made into a working image."""

import hashlib
import queue
import random
import shutil
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.errors import NotFound, Unavailable, Unprocessable, field_error
from crowd.images import contract_queries, delivery_queries, faces, fingerprints, queries
from crowd.images.checks import Found, Measures, check, outcome
from crowd.images.decode import (
    MEMORY,
    MEMORY_WITH_OPENCV,
    DecodeLimits,
    Decoder,
    Derived,
    Starved,
    Unreadable,
)
from crowd.images.delivery_models import KNOWN
from crowd.images.files import files_of
from crowd.images.history import STATES, Happening, record
from crowd.images.models import Batch, ImageState, Supplier, What
from crowd.images.rights import Rights, unsettled
from crowd.policy import Action, Covering, Policy
from crowd.runtime import Runtime

# Called in the transaction in which an image in work gets its working image: the task engine,
# which stands above this room, opens the first task.
READY_HOOKS: list[Callable[[Connection, int, datetime], None]] = []

# What a trained model says of a working image (its file), by criterion of `checks.SCORED`, 0 to 1. A room
# above this one hangs it in here; it is asked once an image, outside of transactions.
SCORERS: list[Callable[[Runtime, Path], Mapping[str, float]]] = []

log = structlog.get_logger(__name__)

# From 0 to 1. Nobody outside may know where a number stays free.
DICE: Callable[[], float] = random.SystemRandom().random

SCORES = "scores"
LONGEST_PATH = 255
# Who meets a full disk comes back after that long.
FULL_SECONDS = 300

# Beside one image.
MOST_SPARES = 100
_OF_DELIVERIES = frozenset({"delivery_id", "contract_id", "waiting", "folder"})

PREPARE_SECONDS = 120
PREPARE_BATCH = 32
# Working images whose rows are written in one transaction: short enough for people to claim in between.
PREPARE_COMMIT = 8


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came with a file: whose it is, its name, its rights, and the batch it belongs to.

    `contract_id` is the contract it comes under, None for what `rights` declare. `delivery_id` is the
    supplier's delivery; `waiting` while that is not handed over, so that nobody labels it yet.
    """

    supplier: str
    file_name: str
    rights: Rights
    batch: str | None = None
    contract_id: int | None = None
    delivery_id: int | None = None
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class Intake:
    """The decision about one file; `known` when the same delivery had been taken before."""

    image_id: int
    state: ImageState
    findings: list[Found]
    known: bool = False


def take_upload(
    rt: Runtime, data: bytes, delivery: Delivery, actor_id: int | None, *, again: bool = False
) -> Intake:
    """Take one file and make its working image at once: it can be claimed on return.

    With `again` a file that the supplier handed in before under this name is recognised, as by `take_file`.
    Raises Unprocessable for a file that is no image anybody could work on; then nothing is kept.
    """
    sha256 = hashlib.sha256(data).digest()
    if again and (known := _known(rt, sha256, delivery)):
        return known
    with rt.db.read() as conn:
        first = queries.original_with(conn, sha256)
    derived = None if first else _derive(rt, data, sha256)
    with rt.db.begin() as conn:
        return _take(conn, rt.policy, sha256, delivery, derived, actor_id, clock.now())


def keep_original(rt: Runtime, data: bytes) -> bytes:
    """Keep a file's bytes under their hash, which is returned; call it before the transaction begins.

    Not those that were found unreadable before. Raises Unavailable `disk_full`, and OSError.
    """
    sha256 = hashlib.sha256(data).digest()
    files = files_of(sha256)
    if rt.storage.exists(files.original):
        return sha256
    with rt.db.read() as conn:
        if queries.is_unreadable(conn, sha256):
            return sha256
    require_room(rt)
    rt.storage.put(files.original, data)
    return sha256


def require_room(rt: Runtime) -> None:
    """Raises Unavailable `disk_full` where less of the disk is free than the policy wants to stay so."""
    least = rt.policy.intake.least_free_mb
    if shutil.disk_usage(rt.storage.root).free < least * 1024**2:
        text = f"Less than {least} MB of the disk are free, so nothing is taken in for now."
        raise Unavailable("disk_full", text, headers={"Retry-After": str(FULL_SECONDS)})


def take_file(
    conn: Connection, policy: Policy, sha256: bytes, delivery: Delivery, actor_id: int | None
) -> Intake:
    """Take one file of many, kept before: its working image is made later, by a job.

    A delivery that was taken before (same supplier, name and bytes) is recognised, so an
    interrupted import can simply be run again.
    """
    now = clock.now()
    known = _find_known(conn, sha256, delivery)
    if known is not None:
        _note_known(conn, known, delivery, now)
        return Intake(known.id, known.state, [], known=True)
    return _take(conn, policy, sha256, delivery, None, actor_id, now)


def prepare(rt: Runtime, limit: int = PREPARE_BATCH) -> int:
    """Make the working images that are due, up to `limit`. Returns how many were looked at."""
    now = clock.now()
    with rt.db.begin() as conn:
        due = queries.take_unprepared(conn, now, now + timedelta(seconds=PREPARE_SECONDS), limit)
    with warm_decoder(rt.policy) as decoder:
        for start in range(0, len(due), PREPARE_COMMIT):
            made = [
                (image.id, found)
                for image in due[start : start + PREPARE_COMMIT]
                if (found := _derive_if_there(rt, decoder, image.id, image.sha256))
            ]
            with rt.db.begin() as conn:
                # In the order of their ids, as everybody who locks several images does.
                for image_id, found in sorted(made, key=lambda each: each[0]):
                    _prepared(conn, rt.policy, image_id, found, clock.now())
            unreadable = {image_id for image_id, found in made if isinstance(found, Unreadable)}
            _drop_originals(rt, [image.sha256 for image in due if image.id in unreadable])
    return len(due)


def name_fault(name: str) -> str | None:
    """What is wrong with the name of a supplier or batch; None if it can be kept."""
    if not 1 <= len(name.strip()) <= 200:
        return "must have 1 to 200 characters"
    return None if name.isprintable() else "has characters that cannot be printed"


def clean_name(name: str) -> str:
    """A file name as it is kept: NFC, its last part, without control characters, at most 255 characters."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(char for char in last if char.isprintable()).strip()
    if len(printable) > 255:
        stem, dot, ending = printable.rpartition(".")
        printable = f"{stem[: 254 - len(ending)]}.{ending}" if dot and len(ending) < 10 else printable[:255]
    return printable or "unnamed"


def clean_path(name: str) -> str:
    """A file's name with the folders before it, as they are kept: like `clean_name`, at most 255 characters.

    Of a longer one the end is kept, behind a few digits that tell it from others with that end.
    """
    cleaned = (clean_name(part) for part in name.replace("\\", "/").split("/") if part.strip(" ."))
    path = "/".join(cleaned) or "unnamed"
    if len(path) <= LONGEST_PATH:
        return path
    digits = hashlib.sha256(path.encode(errors="replace")).hexdigest()[:8]
    return f"{digits}…{path[len(digits) + 1 - LONGEST_PATH :]}"


def folder_of(name: str) -> str:
    """The folders before a file's name, as they are kept; "" where there are none."""
    before = name.replace("\\", "/").rpartition("/")[0]
    return clean_path(before) if before.strip(" ./") else ""


def decode_limits(policy: Policy) -> DecodeLimits:
    """The policy's sizes (pixels), with the decoder's own caps."""
    covers = policy.intake.faces.cover is not Covering.NONE and faces.can_search()
    return DecodeLimits(
        max_width=policy.working_width,
        thumbnail_side=policy.thumbnail_side,
        faces=policy.intake.faces.cover.value,
        crop=policy.intake.crop_margins,
        # OpenCV takes half a gigabyte of addresses before it has seen a picture.
        memory_bytes=MEMORY_WITH_OPENCV if covers else MEMORY,
    )


def _derive(rt: Runtime, data: bytes, sha256: bytes) -> Derived:
    require_room(rt)
    files = files_of(sha256)
    with rt.storage.temporary() as source, warm_decoder(rt.policy) as decoder:
        source.write_bytes(data)
        try:
            with rt.storage.writing(files.working) as working, rt.storage.writing(files.thumbnail) as small:
                derived = _scored(rt, working, decoder.derive(source, working, small))
        except Unreadable as problem:
            raise Unprocessable("unreadable", problem.reason, errors={"file": [problem.reason]}) from None
        except Starved as problem:
            raise Unavailable("busy", f"{problem}; try again") from None
    keep_original(rt, data)
    return derived


def derive_kept(rt: Runtime, decoder: Decoder, sha256: bytes) -> Derived:
    """Make the working image of an original in the storage. Raises Unreadable, Starved, FileNotFoundError."""
    files = files_of(sha256)
    with (
        rt.storage.opened(files.original) as source,
        rt.storage.writing(files.working) as working,
        rt.storage.writing(files.thumbnail) as small,
    ):
        return _scored(rt, working, decoder.derive(source, working, small))


def _scored(rt: Runtime, working: Path, derived: Derived) -> Derived:
    """The same with the scores of models, if any are there, among its signals."""
    scores = {code: score for scorer in SCORERS for code, score in scorer(rt, working).items()}
    return replace(derived, signals={**derived.signals, SCORES: scores}) if scores else derived


def _drop_originals(rt: Runtime, unreadable: Sequence[bytes]) -> None:
    """Remove what nobody can work on, or whoever sends garbage fills the disk with it; its row stays."""
    for sha256 in unreadable:
        with rt.db.read() as conn:
            is_of_no_use = queries.is_unreadable(conn, sha256)
        if is_of_no_use:
            rt.storage.delete(files_of(sha256).original)


def _derive_if_there(
    rt: Runtime, decoder: Decoder, image_id: int, sha256: bytes
) -> Derived | Unreadable | None:
    try:
        return derive_kept(rt, decoder, sha256)
    except Unreadable as problem:
        return problem
    except FileNotFoundError:
        # A storage that is not mounted says nothing against the picture: it stays due.
        log.warning("original_missing", image=image_id, key=files_of(sha256).original)
        return None
    except Starved as problem:
        log.warning("decoder_starved", image=image_id, problem=str(problem))
        return None


def _known(rt: Runtime, sha256: bytes, delivery: Delivery) -> Intake | None:
    with rt.db.read() as conn:
        known = _find_known(conn, sha256, delivery)
        if known is None:
            return None
        found = queries.findings_of(conn, known.id)
    with rt.db.begin() as conn:
        _note_known(conn, known, delivery, clock.now())
    return Intake(known.id, known.state, found, known=True)


def _find_known(conn: Connection, sha256: bytes, delivery: Delivery) -> AnyRow | None:
    name, folder = clean_name(delivery.file_name), folder_of(delivery.file_name)
    return queries.known_file(conn, delivery.supplier, name, sha256, folder)


def _note_known(conn: Connection, known: AnyRow, delivery: Delivery, now: datetime) -> None:
    """A delivery tells of a file, too, that an earlier one brought; its own files it tells of anyway."""
    if delivery.delivery_id is None or known.delivery_id == delivery.delivery_id:
        return
    row = {
        "delivery_id": delivery.delivery_id,
        "at": now,
        "file_name": clean_path(delivery.file_name),
        "code": KNOWN,
        "detail": f"there already, as image {known.id}",
    }
    delivery_queries.refuse(conn, [row])


def _take(
    conn: Connection,
    policy: Policy,
    sha256: bytes,
    delivery: Delivery,
    derived: Derived | None,
    actor_id: int | None,
    now: datetime,
) -> Intake:
    batch_id = queries.named(conn, Batch, delivery.batch, now) if delivery.batch else None
    supplier_id = queries.named(conn, Supplier, delivery.supplier, now)
    contract_id = delivery.contract_id or contract_queries.declared(conn, supplier_id, delivery.rights, now)
    values: dict[str, object] = {
        "supplier_id": supplier_id,
        "batch_id": batch_id,
        "file_name": clean_name(delivery.file_name),
        "folder": folder_of(delivery.file_name),
        "rights": delivery.rights,
        "sha256": sha256,
        "created_at": now,
        "contract_id": contract_id,
        "delivery_id": delivery.delivery_id,
        "waiting": delivery.waiting,
    }
    if batch_id is not None:
        values["priority"] = queries.batch_priority(conn, batch_id)
    uploaded = Happening(What.UPLOADED, worker_id=actor_id)
    first = queries.original_with(conn, sha256)
    if first is None:
        try:
            return _take_new(conn, policy, values, derived, uploaded, now)
        except IntegrityError:
            # The same bytes came in at the same moment, and the other one was first.
            first = queries.original_with(conn, sha256)
    assert first is not None
    return _take_duplicate(conn, values, first, uploaded, now)


def _take_new(
    conn: Connection,
    policy: Policy,
    values: dict[str, Any],
    derived: Derived | None,
    uploaded: Happening,
    now: datetime,
) -> Intake:
    made = (
        {"width": derived.width, "height": derived.height, "faces": derived.faces}
        if derived
        else {"prepare_after": now}
    )
    image_id = queries.add_image(conn, state=ImageState.IN_WORK, **values, **made)
    put_aside(conn, policy, image_id, values)
    record(conn, image_id, uploaded, now)
    found = _check_rights(conn, policy, values["rights"], values["contract_id"], now)
    if derived:
        found += _judge(conn, policy, image_id, derived)
    state = _settle(conn, image_id, ImageState.IN_WORK, found, now)
    if derived and state is ImageState.IN_WORK and not values["waiting"]:
        _announce(conn, image_id, now)
    return Intake(image_id, state, found)


def put_aside(conn: Connection, policy: Policy, image_id: int, values: Mapping[str, object]) -> None:
    """Now and then numbers stay free behind an image, for shadow seats to take up unnoticed.

    Each number, of an image or not, is followed by a free one just as often: so where a number stands among
    those that somebody sees tells nothing.
    """
    share = policy.gold.spare_percent / (100 + policy.gold.spare_percent)
    count = 0
    while count < MOST_SPARES and DICE() < share:
        count += 1
    if count:
        # Nobody handed these in: no delivery reports them and no contract ends for them.
        of_the_file = {name: value for name, value in values.items() if name not in _OF_DELIVERIES}
        queries.put_aside(conn, image_id, count, **of_the_file)


def _take_duplicate(
    conn: Connection, values: dict[str, Any], first: int, uploaded: Happening, now: datetime
) -> Intake:
    image_id = queries.add_image(conn, state=ImageState.REFUSED, duplicate_of=first, **values)
    numbers = {"of": first, "by": "bytes"}
    found = [Found("duplicate", f"byte-identical to image {first}", Action.REFUSE, numbers)]
    record(conn, image_id, uploaded, now)
    record(conn, image_id, Happening(What.REFUSED, why={"reason": "duplicate", "of": first}), now)
    queries.add_findings(conn, image_id, found)
    return Intake(image_id, ImageState.REFUSED, found)


def settle_brought(
    conn: Connection, policy: Policy, taken: Intake, derived: Derived, why: Mapping[str, str], now: datetime
) -> Intake:
    """Judge an image that `take_file` took and whose working image is made, as if a job had made it.

    No task is opened: that is left to whoever brings the image's labels along.
    """
    queries.finish_preparing(conn, taken.image_id, derived.width, derived.height, derived.faces)
    record(conn, taken.image_id, Happening(What.PREPARED, why=dict(why)), now)
    found = _judge(conn, policy, taken.image_id, derived)
    state = _settle(conn, taken.image_id, taken.state, found, now)
    return Intake(taken.image_id, state, taken.findings + found)


def _prepared(
    conn: Connection, policy: Policy, image_id: int, made: Derived | Unreadable, now: datetime
) -> None:
    derived = made if isinstance(made, Derived) else None
    image = queries.finish_preparing(
        conn,
        image_id,
        derived.width if derived else None,
        derived.height if derived else None,
        derived.faces if derived else None,
    )
    if image is None:
        return
    if isinstance(made, Unreadable):
        found = [Found("unreadable", made.reason, Action.REFUSE)]
    else:
        record(conn, image_id, Happening(What.PREPARED), now)
        found = _judge(conn, policy, image_id, made)
    state = _settle(conn, image_id, image.state, found, now)
    if derived and state is ImageState.IN_WORK and not image.waiting:
        _announce(conn, image_id, now)


def _check_rights(
    conn: Connection, policy: Policy, rights: Rights, contract_id: int | None, now: datetime
) -> list[Found]:
    if not policy.hold_unknown_rights:
        return []
    terms = contract_queries.terms_held(conn, contract_id) if contract_id else None
    proof_required = policy.intake.proof_required
    fault = unsettled(rights, terms, now.date(), proof_required=proof_required)
    return [Found(*fault, Action.HOLD)] if fault else []


def _judge(conn: Connection, policy: Policy, image_id: int, derived: Derived) -> list[Found]:
    measures = Measures(
        derived.original_width,
        derived.original_height,
        derived.dpi,
        derived.signals,
        derived.faces,
        tuple(derived.findings),
        derived.signals.get(SCORES, {}),
    )
    found = check(measures, policy.intake)
    return found + fingerprints.compare(conn, policy.intake.duplicates, image_id, derived)


def _settle(
    conn: Connection, image_id: int, state: ImageState, found: list[Found], now: datetime
) -> ImageState:
    """Keep the findings and move the image to the state that they lead to, which is returned."""
    queries.add_findings(conn, image_id, found)
    if state not in (ImageState.IN_WORK, ImageState.HELD):
        return state  # withdrawn or refused meanwhile: that stands
    wanted = outcome(found)
    if wanted is Action.REFUSE:
        return _move(conn, image_id, What.REFUSED, wanted, found, now)
    if wanted is Action.HOLD and state is ImageState.IN_WORK:
        return _move(conn, image_id, What.HELD, wanted, found, now)
    return state


def _move(
    conn: Connection, image_id: int, what: What, action: Action, found: list[Found], now: datetime
) -> ImageState:
    reasons = [each for each in found if each.action is action]
    why = {"reason": reasons[0].code, "findings": [each.code for each in reasons]}
    if reasons[0].code == "unreadable":
        why["reason"] = reasons[0].detail
    record(conn, image_id, Happening(what, why=why), now)
    return STATES[what]


def _announce(conn: Connection, image_id: int, now: datetime) -> None:
    for hook in READY_HOOKS:
        hook(conn, image_id, now)


_DECODERS: "queue.LifoQueue[Decoder]" = queue.LifoQueue()


@contextmanager
def warm_decoder(policy: Policy) -> Iterator[Decoder]:
    """A warm decoder for one upload; a web process keeps as many as it has had uploads at once."""
    try:
        decoder = _DECODERS.get_nowait()
    except queue.Empty:
        decoder = Decoder(decode_limits(policy))
    try:
        yield decoder
    finally:
        _DECODERS.put(decoder)


def close_decoders() -> None:
    """End the children that wait for work; a later upload starts new ones."""
    with suppress(queue.Empty):
        while True:
            _DECODERS.get_nowait().close()


def original(rt: Runtime, image_id: int, admin_id: int, reason: str | None) -> tuple[str, str]:
    """Storage key and file name of the original; the look is written into the image's history.

    Raises NotFound, and a 422 about `reason` where faces were covered and none is given: the original shows
    what the working image must not.
    """
    with rt.db.begin() as conn:
        image = queries.image_file(conn, image_id)
        if image is None or not rt.storage.exists(files_of(image.sha256).original):
            raise NotFound("no_such_image", f"There is no original of image {image_id}.")
        if image.faces and not reason:
            raise field_error("reason", "The original shows a face: say why it has to be seen.")
        why = {"reason": reason} if reason else None
        record(conn, image_id, Happening(What.ORIGINAL_VIEWED, worker_id=admin_id, why=why), clock.now())
    return files_of(image.sha256).original, image.file_name
