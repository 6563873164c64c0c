"""Holds what the clients were told against what the database knows, and says what does not fit.

Reads tables and ledger; asks no service of the application, which is what is being audited. Only the figures
that triggers keep are held against a full count by the application's own statement, which a job runs daily.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from typing import Any

import sqlalchemy as sa

from crowd.core.db import AnyRow, Database
from crowd.images.models import Image, ImageEvent, ImageState, What
from crowd.policy import Policy, Stage
from crowd.tasks import counts
from crowd.tasks.flow import LABELLING, Cause
from crowd.tasks.models import Claim, CountCorrection, Kind, Miss, Standing, Submission, Task, TaskState
from tests.faults.expected import Seat, walk
from tests.faults.ledger import ANSWERS, Act, Entry, Ledger, by_token

KINDS = {Act.SUBMIT: Kind.SUBMIT, Act.SEND_BACK: Kind.SEND_BACK}
OPEN = frozenset((TaskState.READY, TaskState.LEASED, TaskState.STUCK, TaskState.ASSIGNED))
ANSWERED = (What.SUBMITTED, What.SENT_BACK)
# Clocks of one machine; what a database took a moment ago may carry a slightly older time.
TOLERANCE = 0.05


class Breach(StrEnum):
    """What kind of promise a finding is about."""

    LOST = "lost"
    TWICE = "twice"
    HOLDERS = "holders"
    ORPHANED = "orphaned"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not fit; `at` (epoch seconds) is when the client was told, or now."""

    breach: Breach
    at: float
    text: str


@dataclass(frozen=True)
class Facts:
    """The tables as they stood at one moment."""

    tasks: Mapping[int, AnyRow]
    claims: Sequence[AnyRow]
    submissions: Sequence[AnyRow]
    events: Mapping[int, Sequence[AnyRow]]
    images: Sequence[AnyRow]
    misses: Sequence[AnyRow]

    @cached_property
    def counted(self) -> Mapping[int, AnyRow]:
        """The answer that counted, by task."""
        return {row.task_id: row for row in self.submissions if row.standing is Standing.COUNTED}


def read_facts(database: Database) -> Facts:
    """Everything in one snapshot."""
    with database.engine.connect() as opened:
        isolation = {} if database.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        conn = opened.execution_options(reads_only=True, **isolation)
        with conn.begin():

            def rows(statement: sa.Select[Any]) -> Sequence[AnyRow]:
                return conn.execute(statement).all()

            events: dict[int, list[AnyRow]] = defaultdict(list)
            for row in rows(sa.select(ImageEvent.__table__).order_by(ImageEvent.id)):
                events[row.image_id].append(row)
            seats = (Task.cause, Task.disputed)
            answers = sa.select(Submission.__table__, *seats).join(Task, Task.id == Submission.task_id)
            return Facts(
                tasks={row.id: row for row in rows(sa.select(Task.__table__))},
                claims=rows(sa.select(Claim.__table__).order_by(Claim.task_id, Claim.token)),
                submissions=rows(answers.order_by(Submission.id)),
                events=events,
                images=rows(sa.select(Image.__table__).order_by(Image.id)),
                misses=rows(sa.select(Miss.__table__)),
            )


def audit(ledger: Ledger, facts: Facts, policy: Policy, now: float, *, settled: bool) -> list[Finding]:
    """Everything that does not fit. The ledger was copied before the facts were read.

    `settled`: no answer's fate is unknown any more, so ledger and history have to be equal.
    """
    return [
        *_lost_claims(ledger, facts),
        *_lost_answers(ledger, facts),
        *_refused(ledger, facts),
        *_tokens(facts, now),
        *_applied_twice(facts, now),
        *_two_holders(ledger),
        *_one_person_twice(facts, now),
        *_images(facts, policy, now),
        *_misses(facts, policy, now),
        *_odd_statuses(ledger),
        *(_unequal_to_history(ledger, facts, now) if settled else ()),
    ]


def audit_figures(database: Database, now: float) -> Iterator[Finding]:
    """The kept figures that differ from a full count, now or when the daily job last looked.

    Fits at any moment: it is one statement, and a change and its delta are one transaction.
    """
    with database.read() as conn:
        found = counts.differences(conn)
        corrected = conn.execute(sa.select(CountCorrection.__table__)).all()
    for each in found:
        text = f"{each.figure} of {each.of} (worker {each.worker_id}): kept {each.kept}, are {each.counted}"
        yield Finding(Breach.OTHER, now, text)
    for row in corrected:
        yield Finding(Breach.OTHER, now, f"a figure had to be corrected: {row}")


def unfinished(facts: Facts) -> list[int]:
    """The images that are still in work."""
    return [row.id for row in facts.images if row.state is ImageState.IN_WORK]


def _lost_claims(ledger: Ledger, facts: Facts) -> Iterator[Finding]:
    given = {(row.task_id, row.token): row.worker_id for row in facts.claims}
    for entry in ledger.of(Act.CLAIM, Act.FOUND):
        key = entry.task_id, entry.token
        if entry.acknowledged and key != (0, 0) and given.get(key) != entry.who:
            text = f"{entry.who} was given task {key}, which the database gave to {given.get(key)}"
            yield Finding(Breach.LOST, entry.got, text)


def _lost_answers(ledger: Ledger, facts: Facts) -> Iterator[Finding]:
    kept = {(row.task_id, row.token): row for row in facts.submissions}
    for key, entries in by_token([*ledger.of(*ANSWERS)]).items():
        accepted = [entry for entry in entries if entry.acknowledged]
        if not accepted:
            continue
        first = min(accepted, key=lambda entry: entry.got)
        row = kept.get(key)
        if row is None or row.standing is not Standing.COUNTED or row.worker_id != first.who:
            yield Finding(Breach.LOST, first.got, f"the acknowledged answer {key} does not count: {row}")
            continue
        # Of those sent before the first 200 came back, nobody knows which was first.
        candidates = [entry for entry in entries if entry.valid and entry.sent <= first.got]
        if not any(_is_kept(entry, row) for entry in candidates):
            text = f"answer {key} was kept as {row.result}, not as any of {[e.body for e in candidates]}"
            yield Finding(Breach.LOST, first.got, text)


def _is_kept(entry: Entry, row: AnyRow) -> bool:
    sent = entry.body["result"] if entry.act is Act.SUBMIT else entry.body
    return row.kind is KINDS[entry.act] and _holds(row.result, sent)


def _holds(kept: Any, sent: Any) -> bool:
    """Whether the normal form `kept` says what was sent; it may say more."""
    if isinstance(sent, Mapping):
        return isinstance(kept, Mapping) and all(_holds(kept.get(key), sent[key]) for key in sent)
    if isinstance(sent, list):
        return len(kept or ()) == len(sent) and all(map(_holds, kept or (), sent))
    return bool(kept == sent)


def _refused(ledger: Ledger, facts: Facts) -> Iterator[Finding]:
    """An answer or heartbeat is refused only if somebody else had the task, or the image has moved on."""
    counted = {(row.task_id, row.token) for row in facts.submissions if row.standing is Standing.COUNTED}
    claims: dict[int, list[AnyRow]] = defaultdict(list)
    for row in facts.claims:
        claims[row.task_id].append(row)
    released = {(entry.task_id, entry.token) for entry in ledger.of(Act.RELEASE)}
    for entry in ledger.of(*ANSWERS, Act.HEARTBEAT):
        key = entry.task_id, entry.token
        if not entry.valid or entry.uncertain or entry.acknowledged:
            continue
        if entry.act is Act.HEARTBEAT and entry.status == 409 and key in counted:
            continue
        if entry.status != 409:
            text = f"the {entry.act} {key} got {entry.status} {entry.code}: {entry.body}"
            yield Finding(Breach.OTHER, entry.got, text)
        elif key in counted:
            yield Finding(Breach.LOST, entry.got, f"the {entry.act} {key} counts, but was told {entry.code}")
        elif entry.code == "lease_lost" and key not in released:
            task = facts.tasks[entry.task_id]
            overtaken = any(
                claim.token > entry.token and claim.at.timestamp() <= entry.got
                for claim in claims[entry.task_id]
            )
            if not overtaken and not _took_again(facts, task, entry.who):
                yield Finding(Breach.LOST, entry.got, f"the late {entry.act} {key} was refused for nobody")
        elif entry.code == "superseded" and facts.tasks[entry.task_id].state is not TaskState.CLOSED:
            yield Finding(Breach.LOST, entry.got, f"{entry.act} {key} was superseded, its task is not closed")


def _tokens(facts: Facts, now: float) -> Iterator[Finding]:
    """A token moves on by a claim or a release; by anything else somebody's late answer would be lost.

    Before anybody has had a task that was kept for somebody (rework, a further expert's seat) it may become
    1: it was opened to all.
    """
    moved = Counter(row.task_id for row in facts.claims)
    moved.update(
        event.task_id
        for events in facts.events.values()
        for event in events
        if event.what is What.RELEASED and event.task_id is not None
    )
    first: dict[int, int] = {}
    for row in facts.claims:
        first[row.task_id] = min(row.token, first.get(row.task_id, row.token))
    for task in facts.tasks.values():
        opened = first[task.id] - 1 if task.id in first else task.token
        may_be_kept = task.bounced or (task.stage is Stage.STYLES and task.seat > 1)
        if opened not in (0, int(may_be_kept)) or task.token != moved[task.id] + opened:
            text = f"task {task.id} has token {task.token} after {moved[task.id]} claims and releases"
            yield Finding(Breach.LOST, now, text)


def _took_again(facts: Facts, task: AnyRow, who: int) -> bool:
    """Whether the person was given another seat of the task's stage and round."""
    seat = task.image_id, task.stage, task.round
    for claim in facts.claims:
        other = facts.tasks[claim.task_id]
        same = (other.image_id, other.stage, other.round) == seat
        if same and claim.worker_id == who and other.id != task.id:
            return True
    return False


def _applied_twice(facts: Facts, now: float) -> Iterator[Finding]:
    counted = Counter(row.task_id for row in facts.submissions if row.standing is Standing.COUNTED)
    happened = Counter(
        event.task_id for events in facts.events.values() for event in events if event.what in ANSWERED
    )
    for what, times in (("answers that count", counted), ("answers in the history", happened)):
        for task_id, count in times.items():
            if count > 1:
                yield Finding(Breach.TWICE, now, f"task {task_id} has {count} {what}")
    for task_id in counted.keys() ^ happened.keys():
        yield Finding(Breach.OTHER, now, f"task {task_id} has an answer or its event, not both")
    for task in facts.tasks.values():
        if (task.state is TaskState.DONE) != (task.id in counted):
            text = f"task {task.id} is {task.state} with {counted[task.id]} answers that count"
            yield Finding(Breach.LOST if task.id in counted else Breach.OTHER, now, text)


def _two_holders(ledger: Ledger) -> Iterator[Finding]:
    """Leases of one task that certainly overlapped, as their holders were told."""
    spans: dict[int, list[tuple[float, float, int, int]]] = defaultdict(list)
    ends = by_token([*ledger.of(*ANSWERS, Act.RELEASE)])
    beats = by_token([*ledger.of(Act.HEARTBEAT)])
    kept: dict[int, list[Entry]] = defaultdict(list)
    for entry in ledger.of(Act.HEARTBEAT):
        if entry.acknowledged:
            kept[entry.task_id].append(entry)
    for entry in ledger.of(Act.CLAIM, Act.FOUND):
        if not entry.acknowledged or not entry.task_id:
            continue
        key = entry.task_id, entry.token
        until = max([entry.until, *(beat.until for beat in beats.get(key, ()))])
        # A refused answer ends nothing, but whoever gave it had lost the task by then.
        until = min([until, *(end.sent for end in ends.get(key, ()) if end.valid)])
        spans[entry.task_id].append((entry.got, until, entry.token, entry.who))
    for task_id, held in spans.items():
        held.sort()
        for (_, until, token, who), (got, _, other_token, other) in pairwise(held):
            if token == other_token and who == other:
                continue
            if got < until - TOLERANCE:
                text = f"task {task_id} was given to {other} ({other_token}) while {who} ({token}) had it"
                yield Finding(Breach.HOLDERS, got, text)
        for entry in kept[task_id]:
            if any(token > entry.token and got < entry.sent for got, _, token, _ in held):
                text = f"task {task_id}: {entry.who} kept the lease {entry.token} after it was overtaken"
                yield Finding(Breach.HOLDERS, entry.got, text)


def _one_person_twice(facts: Facts, now: float) -> Iterator[Finding]:
    """Nobody takes both seats of a round, nor reviews what they labelled or judged in another stage."""
    seats: Counter[tuple[int, Stage, int, int]] = Counter()
    parts: dict[tuple[int, int], set[str]] = defaultdict(set)
    for row in facts.submissions:
        if row.standing is not Standing.COUNTED:
            continue
        seat = row.image_id, row.stage, row.round, row.worker_id
        seats[seat] += 1
        if seats[seat] > 1:
            text = f"{row.worker_id} has {seats[seat]} seats of {row.stage} of image {row.image_id}"
            yield Finding(Breach.HOLDERS, now, text)
        mine = parts[row.image_id, row.worker_id]
        labels = row.stage in LABELLING or row.cause is Cause.STYLES
        if row.stage not in LABELLING and mine - {row.stage}:
            text = f"{row.worker_id} did {row.stage} of image {row.image_id} after {sorted(mine)}"
            yield Finding(Breach.HOLDERS, now, text)
        if row.kind is Kind.SUBMIT:
            mine.add("labelling" if labels else row.stage)


def _images(facts: Facts, policy: Policy, now: float) -> Iterator[Finding]:
    """State, round and tasks of every image are what its history calls for."""
    tasks: dict[int, list[AnyRow]] = defaultdict(list)
    for task in facts.tasks.values():
        tasks[task.image_id].append(task)
    for image in facts.images:
        if image.duplicate_of is not None:
            continue
        image_walk = walk(facts.events[image.id], facts.counted, policy)
        for fault in image_walk.faults:
            yield Finding(Breach.TWICE, now, f"image {image.id}: {fault}")
        if (image.state, image.round) != (image_walk.state, image_walk.round):
            told = f"{image.state}, round {image.round}; its history says {image_walk.state}, "
            yield Finding(Breach.OTHER, now, f"image {image.id} is {told}{image_walk.round}")
        prepared = image.width is not None
        if not prepared and image.state is ImageState.IN_WORK and image.prepare_after is None:
            yield Finding(Breach.ORPHANED, now, f"image {image.id} waits for a working image in vain")
        yield from _compare_tasks(image, tasks[image.id], image_walk.opened if prepared else {}, now, "ever")
        still = [task for task in tasks[image.id] if task.state in OPEN]
        yield from _compare_tasks(image, still, image_walk.open if prepared else {}, now, "open")


def _compare_tasks(
    image: AnyRow, tasks: Iterable[AnyRow], due: Mapping[Seat, int], now: float, which: str
) -> Iterator[Finding]:
    there = Counter((task.stage, task.round, task.cause) for task in tasks)
    for seat in there.keys() | due.keys():
        missing = due.get(seat, 0) - there[seat]
        if missing:
            told = f"{there[seat]} tasks {which} of {seat[0]} in round {seat[1]}, due {due.get(seat, 0)}"
            breach = Breach.ORPHANED if missing > 0 else Breach.TWICE
            yield Finding(breach, now, f"image {image.id} has {told}")


def _misses(facts: Facts, policy: Policy, now: float) -> Iterator[Finding]:
    """Who is said to have let a task go had it; and it takes several people to make a task stuck."""
    given = {(row.task_id, row.worker_id) for row in facts.claims}
    people = Counter(row.task_id for row in facts.misses)
    for row in facts.misses:
        if (row.task_id, row.worker_id) not in given:
            text = f"{row.worker_id} missed task {row.task_id} without having had it"
            yield Finding(Breach.OTHER, now, text)
    for task in facts.tasks.values():
        if task.state is TaskState.STUCK and people[task.id] < policy.stuck_after:
            text = f"task {task.id} is stuck after {people[task.id]} misses"
            yield Finding(Breach.ORPHANED, now, text)


def _odd_statuses(ledger: Ledger) -> Iterator[Finding]:
    for request in ledger.requests:
        if request.status is not None and request.status >= 500 and request.status != 503:
            yield Finding(Breach.OTHER, request.got, f"{request.path} got {request.status}")
    for entry in ledger.of(Act.CLAIM, Act.HEARTBEAT, Act.RELEASE):
        if entry.acknowledged or entry.uncertain or entry.act is Act.HEARTBEAT:
            continue
        text = f"{entry.act} of {entry.task_id} by {entry.who} got {entry.status} {entry.code}"
        yield Finding(Breach.OTHER, entry.got, text)


def _unequal_to_history(ledger: Ledger, facts: Facts, now: float) -> Iterator[Finding]:
    told = {
        (entry.task_id, entry.who, KINDS[entry.act]) for entry in ledger.of(*ANSWERS) if entry.acknowledged
    }
    kinds = {What.SUBMITTED: Kind.SUBMIT, What.SENT_BACK: Kind.SEND_BACK}
    happened = {
        (event.task_id, event.worker_id, kinds[event.what])
        for events in facts.events.values()
        for event in events
        if event.what in kinds
    }
    for task_id, who, kind in told - happened:
        yield Finding(Breach.LOST, now, f"the {kind} of task {task_id} by {who} is not in the history")
    for task_id, who, kind in happened - told:
        yield Finding(Breach.OTHER, now, f"the history has a {kind} of task {task_id} by {who}: told nobody")
