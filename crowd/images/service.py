"""Intake: a file comes in, is recognised or kept, decided on, and made into a working image."""

import hashlib
import queue
import random
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from crowd.core import clock
from crowd.core.errors import NotFound, Unprocessable
from crowd.images import queries
from crowd.images.decode import DecodeLimits, Decoder, Derived, Unreadable
from crowd.images.files import files_of
from crowd.images.history import Happening, record
from crowd.images.models import Batch, ImageState, Rights, Supplier, What
from crowd.policy import Policy
from crowd.runtime import Runtime

# Called in the transaction in which an image in work gets its working image: the task engine,
# which stands above this room, opens the first task.
READY_HOOKS: list[Callable[[Connection, int, datetime], None]] = []

log = structlog.get_logger(__name__)

# From 0 to 1. Nobody outside may know where a number stays free.
DICE: Callable[[], float] = random.SystemRandom().random

# Beside one image.
MOST_SPARES = 100

PREPARE_SECONDS = 120
PREPARE_BATCH = 32


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came with a file: whose it is, its name, its rights, and the batch it belongs to.

    `proof` is the storage key of the document that proves the rights.
    """

    supplier: str
    file_name: str
    rights: Rights
    batch: str | None = None
    proof: str | None = None


@dataclass(frozen=True, slots=True)
class Intake:
    """The decision about one file; `known` when the same delivery had been taken before."""

    image_id: int
    state: ImageState
    findings: list[dict[str, str]]
    known: bool = False


def take_upload(rt: Runtime, data: bytes, delivery: Delivery, actor_id: int | None) -> Intake:
    """Take one file and make its working image at once: it can be claimed on return.

    Raises Unprocessable for a file that is no image anybody could work on; then nothing is kept.
    """
    sha256 = hashlib.sha256(data).digest()
    with rt.db.read() as conn:
        first = queries.original_with(conn, sha256)
    derived = None if first else _derive(rt, data, sha256)
    with rt.db.begin() as conn:
        return _take(conn, rt.policy, sha256, delivery, derived, actor_id, clock.now())


def keep_original(rt: Runtime, data: bytes) -> bytes:
    """Keep a file's bytes under their hash, which is returned; call it before the transaction begins."""
    sha256 = hashlib.sha256(data).digest()
    files = files_of(sha256)
    if not rt.storage.exists(files.original):
        rt.storage.put(files.original, data)
    return sha256


def take_file(
    conn: Connection, policy: Policy, sha256: bytes, delivery: Delivery, actor_id: int | None
) -> Intake:
    """Take one file of many, kept before: its working image is made later, by a job.

    A delivery that was taken before (same supplier, name and bytes) is recognised, so an
    interrupted import can simply be run again.
    """
    now = clock.now()
    supplier_id = queries.named(conn, Supplier, delivery.supplier, now)
    known = queries.known_file(conn, supplier_id, clean_name(delivery.file_name), sha256)
    if known is not None:
        return Intake(known, ImageState.IN_WORK, [], known=True)
    return _take(conn, policy, sha256, delivery, None, actor_id, now)


def keep_proof(rt: Runtime, document: bytes, suffix: str) -> str:
    """Keep a document that proves rights. Returns its storage key, for Delivery.proof."""
    key = f"proofs/{hashlib.sha256(document).hexdigest()}{suffix.lower()}"
    if not rt.storage.exists(key):
        rt.storage.put(key, document)
    return key


def prepare(rt: Runtime, limit: int = PREPARE_BATCH) -> int:
    """Make the working images that are due, up to `limit`. Returns how many were looked at."""
    now = clock.now()
    with rt.db.begin() as conn:
        due = queries.take_unprepared(conn, now, now + timedelta(seconds=PREPARE_SECONDS), limit)
    with Decoder(decode_limits(rt.policy)) as decoder:
        for image in due:
            files = files_of(image.sha256)
            derived: Derived | None = None
            findings = []
            try:
                derived = decoder.derive(
                    rt.storage.path(files.original),
                    rt.storage.path(files.working),
                    rt.storage.path(files.thumbnail),
                )
                findings = derived.findings
            except Unreadable as problem:
                findings = [{"code": "unreadable", "detail": problem.reason}]
            except FileNotFoundError:
                # A storage that is not mounted says nothing against the picture: it stays due.
                log.warning("original_missing", image=image.id, key=files.original)
                continue
            with rt.db.begin() as conn:
                _prepared(conn, image.id, derived, findings, clock.now())
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


def decode_limits(policy: Policy) -> DecodeLimits:
    """The policy's sizes (pixels), with the decoder's own caps."""
    return DecodeLimits(max_width=policy.working_width, thumbnail_side=policy.thumbnail_side)


def _derive(rt: Runtime, data: bytes, sha256: bytes) -> Derived:
    files = files_of(sha256)
    with rt.storage.temporary() as source, _decoder(rt.policy) as decoder:
        source.write_bytes(data)
        try:
            derived = decoder.derive(source, rt.storage.path(files.working), rt.storage.path(files.thumbnail))
        except Unreadable as problem:
            raise Unprocessable("unreadable", problem.reason, errors={"file": [problem.reason]}) from None
    keep_original(rt, data)
    return derived


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
    values: dict[str, object] = {
        "supplier_id": queries.named(conn, Supplier, delivery.supplier, now),
        "batch_id": batch_id,
        "file_name": clean_name(delivery.file_name),
        "rights": delivery.rights,
        "sha256": sha256,
        "created_at": now,
    }
    if batch_id is not None:
        values["priority"] = queries.batch_priority(conn, batch_id)
    why = {"proof": delivery.proof} if delivery.proof else None
    uploaded = Happening(What.UPLOADED, worker_id=actor_id, why=why)
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
    values: dict[str, object],
    derived: Derived | None,
    uploaded: Happening,
    now: datetime,
) -> Intake:
    sizes = {"width": derived.width, "height": derived.height} if derived else {"prepare_after": now}
    image_id = queries.add_image(conn, state=ImageState.IN_WORK, **values, **sizes)
    put_aside(conn, policy, image_id, values)
    record(conn, image_id, uploaded, now)
    findings = list(derived.findings) if derived else []
    state = ImageState.IN_WORK
    if values["rights"] is Rights.UNKNOWN and policy.hold_unknown_rights:
        findings.append({"code": "rights_unknown", "detail": "the right to use the image is not settled"})
        record(conn, image_id, Happening(What.HELD, why={"reason": "rights_unknown"}), now)
        state = ImageState.HELD
    queries.add_findings(conn, image_id, findings)
    if derived and state is ImageState.IN_WORK:
        _announce(conn, image_id, now)
    return Intake(image_id, state, findings)


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
        queries.put_aside(conn, image_id, count, **values)


def _take_duplicate(
    conn: Connection, values: dict[str, object], first: int, uploaded: Happening, now: datetime
) -> Intake:
    image_id = queries.add_image(conn, state=ImageState.REFUSED, duplicate_of=first, **values)
    findings = [{"code": "duplicate", "detail": f"byte-identical to image {first}"}]
    record(conn, image_id, uploaded, now)
    record(conn, image_id, Happening(What.REFUSED, why={"reason": "duplicate", "of": first}), now)
    queries.add_findings(conn, image_id, findings)
    return Intake(image_id, ImageState.REFUSED, findings)


def _prepared(
    conn: Connection, image_id: int, derived: Derived | None, findings: list[dict[str, str]], now: datetime
) -> None:
    state = queries.finish_preparing(
        conn, image_id, derived.width if derived else None, derived.height if derived else None
    )
    if state is None:
        return
    queries.add_findings(conn, image_id, findings)
    if derived is None and state not in (ImageState.IN_WORK, ImageState.HELD):
        return  # withdrawn or refused meanwhile: that stands
    if derived is None:
        record(conn, image_id, Happening(What.REFUSED, why={"reason": findings[0]["detail"]}), now)
        return
    record(conn, image_id, Happening(What.PREPARED), now)
    if state is ImageState.IN_WORK:
        _announce(conn, image_id, now)


def _announce(conn: Connection, image_id: int, now: datetime) -> None:
    for hook in READY_HOOKS:
        hook(conn, image_id, now)


_DECODERS: "queue.LifoQueue[Decoder]" = queue.LifoQueue()


@contextmanager
def _decoder(policy: Policy) -> Iterator[Decoder]:
    """A warm decoder for one upload; a web process keeps as many as it has had uploads at once."""
    try:
        decoder = _DECODERS.get_nowait()
    except queue.Empty:
        decoder = Decoder(decode_limits(policy))
    try:
        yield decoder
    finally:
        _DECODERS.put(decoder)


def original_path(rt: Runtime, image_id: int, admin_id: int) -> tuple[str, str]:
    """Storage key and file name of the original; the look is written into the image's history.

    Raises NotFound.
    """
    with rt.db.begin() as conn:
        image = queries.image_file(conn, image_id)
        if image is None or not rt.storage.exists(files_of(image.sha256).original):
            raise NotFound("no_such_image", f"There is no original of image {image_id}.")
        record(conn, image_id, Happening(What.ORIGINAL_VIEWED, worker_id=admin_id), clock.now())
    return files_of(image.sha256).original, image.file_name
