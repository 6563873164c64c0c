"""Telling the history into figures: what each answer and each event of an image adds to which sum.

Triggers note in `untold` which rows are new; upkeep takes them, and history from before page by page. What
a row adds depends on it and on older rows of the same image alone, and sums are whole numbers: so rows may
be told in any order, by any number of processes, and a rebuild comes to the same.
`docs/decisions/0013-steering.md` says why.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.group_queries import group_at
from crowd.core import sums
from crowd.core.db import AnyRow, Database
from crowd.images.history import STATES
from crowd.images.models import Image, ImageEvent, ImageState, What
from crowd.policy import Stage
from crowd.steering import comparing
from crowd.steering.models import (
    AgreementWeek,
    Basis,
    ErrorDay,
    FixDay,
    ImageDay,
    Retelling,
    Source,
    StyleDay,
    SupplierAgreementWeek,
    SupplierDay,
    Untold,
    WorkDay,
)
from crowd.tasks.flow import LABELLING, REVIEWING, Cause
from crowd.tasks.models import Kind, Label, Standing, Submission, Task

BATCH = 200
# What one pair of a question's answers weighs, in parts: 1 / (m - 1) is a whole number of them up to m = 11.
UNIT = 2520
MOST_ANSWERS = 11

# In the order in which they are written: two who add at once wait, and never for each other.
TABLES: tuple[Any, ...] = (
    WorkDay,
    SupplierDay,
    ImageDay,
    StyleDay,
    ErrorDay,
    FixDay,
    AgreementWeek,
    SupplierAgreementWeek,
)
_COLUMNS = {
    table: [column.name for column in table.__table__.columns if not column.primary_key] for table in TABLES
}
TOLD_EVENTS = (
    What.UPLOADED,
    What.BOUNCED,
    What.ACCEPTED,
    What.HELD,
    What.REFUSED,
    What.WITHDRAWN,
    What.REOPENED,
)
# Every event but the acceptance, which counts once however often it is repeated.
_IMAGE_SUMS = {
    What.UPLOADED: "uploaded",
    What.HELD: "held",
    What.REFUSED: "refused",
    What.WITHDRAWN: "withdrawn",
    What.REOPENED: "reopened",
}


class Sums:
    """What is to be added, by table and key."""

    def __init__(self) -> None:
        self._of: dict[Any, dict[tuple[Any, ...], Counter[str]]] = {
            table: defaultdict(Counter) for table in TABLES
        }

    def add(self, table: Any, key: tuple[Any, ...], **changes: int) -> None:
        """Add to the row of `table` with this primary key."""
        # Not `update`, which would drop what comes to less than nothing in between.
        found = self._of[table][key]
        for name, change in changes.items():
            found[name] += change

    def write(self, conn: Connection) -> None:
        """Add everything to the kept sums."""
        for table in TABLES:
            whole = {
                key: {name: found[name] for name in _COLUMNS[table]} for key, found in self._of[table].items()
            }
            sums.add(conn, table, whole)


def tell(db: Database, batch: int = BATCH) -> int:
    """Tell what is new. Returns how many rows of the history that were.

    Any number of processes may do this at once: rows that another one is telling are passed over.
    """
    told = 0
    while True:
        with db.begin() as conn:
            taken = _tell_batch(conn, batch)
        told += taken
        if taken < batch:
            return told


def _tell_batch(conn: Connection, batch: int) -> int:
    oldest = sa.select(*Untold.__table__.columns).order_by(Untold.id).limit(batch)
    rows = conn.execute(oldest.with_for_update(skip_locked=True)).all()
    conn.execute(sa.delete(Untold).where(Untold.id.in_([row.id for row in rows])))
    for source in Source:
        ids = [row.row_id for row in rows if row.source is source]
        if ids:
            _TELLERS[source](conn, ids)
    return len(rows)


def retell(db: Database, most: int | None = None, page: int = BATCH) -> int:
    """Tell history from before, `most` pages of it at most. Returns how many rows that were."""
    told = pages = 0
    while most is None or pages < most:
        with db.begin() as conn:
            taken = _retell_page(conn, page)
        if taken is None:
            return told
        told += taken
        pages += 1
    return told


def _retell_page(conn: Connection, page: int) -> int | None:
    query = sa.select(Retelling.source, Retelling.next_id, Retelling.last_id).order_by(Retelling.source)
    place = conn.execute(query.limit(1).with_for_update(skip_locked=True)).one_or_none()
    if place is None:
        return None
    ids = conn.execute(_page_of(place, page)).scalars().all()
    if ids:
        _TELLERS[place.source](conn, ids)
    row = Retelling.source == place.source
    if len(ids) < page:
        conn.execute(sa.delete(Retelling).where(row))
    else:
        conn.execute(sa.update(Retelling).where(row).values(next_id=ids[-1] + 1))
    return len(ids)


def _page_of(place: AnyRow, page: int) -> sa.Select[int]:
    of: type[Submission] | type[ImageEvent]
    if place.source is Source.ANSWERS:
        of, condition = Submission, Submission.standing == Standing.COUNTED
    else:
        of, condition = ImageEvent, ImageEvent.what.in_(TOLD_EVENTS)
    inside = sa.and_(of.id >= place.next_id, of.id <= place.last_id)
    return sa.select(of.id).where(inside, condition).order_by(of.id).limit(page)


def start_over(db: Database) -> None:
    """Forget every figure; all history is then told again, by `retell`.

    For a moment nobody can answer: nothing may be written between the forgetting and the noting of where
    history ends.
    """
    with db.begin() as conn:
        if not db.is_sqlite:
            conn.exec_driver_sql("SET LOCAL lock_timeout = '10s'")
            # In the order in which an answer comes to them, so that no answer waits for us and we for it.
            conn.exec_driver_sql("LOCK TABLE submissions, image_events IN SHARE MODE")
            conn.exec_driver_sql("LOCK TABLE untold, retellings IN ACCESS EXCLUSIVE MODE")
        for table in (Untold, Retelling, *TABLES):
            conn.execute(sa.delete(table))
        for source, of in ((Source.ANSWERS, Submission), (Source.EVENTS, ImageEvent)):
            last = conn.execute(sa.select(sa.func.max(of.id))).scalar_one()
            if last is not None:
                row = {"source": source, "next_id": 1, "last_id": last}
                conn.execute(sa.insert(Retelling).values(row))


def waiting(conn: Connection) -> int:
    """About how many rows of the history are in no figure yet; beyond 10,000 it is not counted on."""
    some = sa.select(Untold.row_id).limit(10_000).subquery()
    new: int = conn.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()
    places = conn.execute(sa.select(Retelling.next_id, Retelling.last_id)).all()
    old: int = sum(max(0, place.last_id - place.next_id + 1) for place in places)
    return new + old


def monday(moment: datetime | date) -> date:
    """The first day of the ISO week."""
    day = moment.date() if isinstance(moment, datetime) else moment
    return day - timedelta(days=day.weekday())


_ANSWERS = (
    sa.select(
        Submission.id,
        Submission.image_id,
        Submission.stage,
        Submission.round,
        Submission.worker_id,
        Submission.kind,
        Submission.result,
        Submission.seconds,
        Submission.at,
        Task.bounced,
        Task.cause,
        Image.supplier_id,
        group_at(Submission.worker_id, Submission.at).label("group_id"),
    )
    .join(Task, Task.id == Submission.task_id)
    .join(Image, Image.id == Submission.image_id)
    .where(Submission.standing == Standing.COUNTED)
    .order_by(Submission.id)
)


def _answers_of(conn: Connection, image_ids: Iterable[int]) -> dict[int, list[AnyRow]]:
    """Every answer that counts of these images, oldest first."""
    found: dict[int, list[AnyRow]] = defaultdict(list)
    for row in conn.execute(_ANSWERS.where(Submission.image_id.in_(set(image_ids)))):
        found[row.image_id].append(row)
    return found


def _tell_answers(conn: Connection, ids: Sequence[int]) -> None:
    images = conn.execute(sa.select(Submission.image_id).where(Submission.id.in_(ids))).scalars()
    wanted, found = set(ids), Sums()
    for answers in _answers_of(conn, images).values():
        for place, answer in enumerate(answers):
            if answer.id in wanted:
                _Answer(answer, answers[:place], found).tell()
    found.write(conn)


def _work_key(answer: AnyRow) -> tuple[Any, ...]:
    return answer.worker_id, answer.group_id, answer.stage, answer.at.date()


def _is_labels(answer: AnyRow) -> bool:
    return answer.kind is Kind.SUBMIT and answer.stage in LABELLING and "unusable" not in answer.result


def _is_verdict(answer: AnyRow) -> bool:
    return answer.kind is Kind.SUBMIT and "score" in answer.result


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer, those before it of the same image, and where what it adds is collected."""

    row: AnyRow
    before: Sequence[AnyRow]
    sums: Sums

    def tell(self) -> None:
        self._work()
        if _is_labels(self.row) and self.row.stage is Stage.STYLES:
            self._styles()
        if _is_labels(self.row):
            self._revision()
        self._agreement()

    def _both(self, answer: AnyRow, **changes: int) -> None:
        """Add to what the person did, and to what was done for the supplier."""
        self.sums.add(WorkDay, _work_key(answer), **changes)
        self.sums.add(SupplierDay, (answer.supplier_id, answer.stage, answer.at.date()), **changes)

    def _work(self) -> None:
        row = self.row
        verdict, labels = _is_verdict(row), row.stage in LABELLING and row.kind is Kind.SUBMIT
        self._both(
            row,
            answers=1,
            sent_back=int(row.kind is Kind.SEND_BACK),
            unusable=int(labels and "unusable" in row.result),
            passed=int(verdict and comparing.passes(row.result)),
            rejected=int(verdict and not comparing.passes(row.result)),
            timed=int(row.seconds is not None),
            milliseconds=round(1000 * (row.seconds or 0.0)),
        )

    def _styles(self) -> None:
        day, named = self.row.at.date(), self.row.result["styles"]
        for place, style in enumerate(named):
            unsure = int(self.row.result["unsure"])
            self.sums.add(StyleDay, (style, day), named=1, main=int(place == 0), unsure=unsure)

    def _revision(self) -> None:
        """The latest answer of an earlier round is confirmed or corrected."""
        row = self.row
        earlier = [
            each
            for each in self.before
            if each.stage is row.stage and each.round < row.round and _is_labels(each)
        ]
        if not earlier:
            return
        former = earlier[-1]
        like = comparing.likeness(row.stage, former.result, row.result)
        if row.bounced:
            people = (row.worker_id, row.group_id, former.worker_id, former.group_id)
            key = (*people, row.supplier_id, row.stage, row.at.date())
            self.sums.add(FixDay, key, fixed=1, changed=int(like < comparing.PARTS))
            self._both(row, fixed=1)
            if row.stage is Stage.STYLES:
                self._exchanged(former)
        if former.worker_id == row.worker_id:
            return
        self._both(former, revised=1, kept=like)
        if row.stage is Stage.ATTRIBUTES:
            self._attributes(former, Basis.REVISION, UNIT)
        elif row.stage is Stage.STYLES:
            self._pair(former, row, Basis.REVISION, UNIT)

    def _exchanged(self, former: AnyRow) -> None:
        then, now = set(former.result["styles"]), set(self.row.result["styles"])
        for style in then ^ now:
            key = (style, self.row.at.date())
            self.sums.add(StyleDay, key, added=int(style in now), removed=int(style in then))

    def _agreement(self) -> None:
        """Answers that were given without knowing each other."""
        row = self.row
        peers = [each for each in self.before if self._is_peer(each)]
        count = len(peers)
        if not count or count >= MOST_ANSWERS:
            return
        for peer in peers:
            self._compare(peer)
            if row.stage is Stage.ATTRIBUTES:
                self._attributes(peer, Basis.INDEPENDENT, UNIT // count)
            elif row.stage is not Stage.SEGMENTATION:
                self._pair(peer, row, Basis.INDEPENDENT, UNIT // count)
        if row.stage in (Stage.SEGMENTATION, Stage.ATTRIBUTES):
            return
        # With one answer more the pairs there were weigh less.
        for place, one in enumerate(peers):
            for other in peers[place + 1 :]:
                self._pair(one, other, Basis.INDEPENDENT, UNIT // count - UNIT // (count - 1))

    def _is_peer(self, other: AnyRow) -> bool:
        row = self.row
        if other.round != row.round or other.worker_id == row.worker_id:
            return False
        if _is_verdict(row):
            seats = other.stage is Stage.SECOND_REVIEW and _is_verdict(other)
            return seats and (row.stage is Stage.SECOND_REVIEW or row.cause is Cause.SPLIT)
        return _is_labels(row) and other.stage is row.stage and _is_labels(other)

    def _compare(self, peer: AnyRow) -> None:
        like = comparing.likeness(self.row.stage, peer.result, self.row.result)
        for answer in (peer, self.row):
            self._both(answer, compared=1, likeness=like)
        if self.row.stage is not Stage.STYLES:
            return
        mine, theirs = set(self.row.result["styles"]), set(peer.result["styles"])
        for style in mine | theirs:
            both = style in mine and style in theirs
            key = (style, self.row.at.date())
            self.sums.add(StyleDay, key, agreed=int(both), disagreed=int(not both))

    def _pair(self, one: AnyRow, other: AnyRow, basis: Basis, weight: int) -> None:
        """Two answers as cells of each person; `one` came first."""
        if not weight:
            return
        stage = other.stage if other.stage in LABELLING else Stage.SECOND_REVIEW
        variable = comparing.STYLES if stage is Stage.STYLES else comparing.SCORE
        a, b = _value(one), _value(other)
        week = monday(other.at)
        key = (week, stage, basis, variable)
        self._met(key, (one.worker_id, one.group_id, a), (other.worker_id, other.group_id, b), weight)

    def _attributes(self, former: AnyRow, basis: Basis, weight: int) -> None:
        key = (monday(self.row.at), Stage.ATTRIBUTES, basis)
        for name, a, b in comparing.attribute_pairs(former.result, self.row.result):
            # By person they would be millions.
            one, other = (0, former.group_id, a), (0, self.row.group_id, b)
            self._met((*key, comparing.short(name)), one, other, weight)

    def _met(
        self,
        key: tuple[Any, ...],
        one: tuple[int, int, str],
        other: tuple[int, int, str],
        weight: int,
    ) -> None:
        """A value met another, for each of the two: person, group, value; and for the supplier."""
        for (worker, group, a), (_, _, b), earlier in ((one, other, True), (other, one, False)):
            self.sums.add(AgreementWeek, (*key, worker, group, earlier, a, b), weight=weight)
        supplier = (*key, self.row.supplier_id, one[2], other[2])
        self.sums.add(SupplierAgreementWeek, supplier, weight=weight)


def _value(answer: AnyRow) -> str:
    return comparing.styles_text(answer.result) if answer.stage in LABELLING else str(answer.result["score"])


_EVENTS = sa.select(
    ImageEvent.id,
    ImageEvent.image_id,
    ImageEvent.at,
    ImageEvent.what,
    ImageEvent.about_id,
    ImageEvent.stage,
    ImageEvent.target,
    ImageEvent.round,
    ImageEvent.why,
    Image.supplier_id,
).join(Image, Image.id == ImageEvent.image_id)


def _tell_events(conn: Connection, ids: Sequence[int]) -> None:
    found = Sums()
    events = conn.execute(_EVENTS.where(ImageEvent.id.in_(ids)).order_by(ImageEvent.id)).all()
    turns = [event for event in events if event.what is not What.UPLOADED]
    bounced = {event.image_id for event in events if event.what is What.BOUNCED}
    past = _turns_of(conn, {event.image_id for event in turns}) if turns else {}
    styles = _styles_of(conn, set(past)) if past else {}
    answers = _answers_of(conn, bounced) if bounced else {}
    for event in events:
        if name := _IMAGE_SUMS.get(event.what):
            found.add(ImageDay, (event.supplier_id, event.at.date()), **{name: 1})
        if event.what is What.BOUNCED:
            _bounce(event, answers[event.image_id], found)
        elif event.what is not What.UPLOADED:
            _acceptance(event, past[event.image_id], styles[event.image_id], found)
    found.write(conn)


def _turns_of(conn: Connection, image_ids: Iterable[int]) -> dict[int, list[AnyRow]]:
    """The events that moved these images from state to state, oldest first."""
    found: dict[int, list[AnyRow]] = defaultdict(list)
    query = sa.select(ImageEvent.id, ImageEvent.image_id, ImageEvent.what, ImageEvent.round)
    query = query.where(ImageEvent.image_id.in_(image_ids), ImageEvent.what.in_(STATES))
    for row in conn.execute(query.order_by(ImageEvent.id)):
        found[row.image_id].append(row)
    return found


def _styles_of(conn: Connection, image_ids: Iterable[int]) -> dict[int, list[AnyRow]]:
    found: dict[int, list[AnyRow]] = defaultdict(list)
    query = sa.select(Label.image_id, Label.round, Label.value)
    query = query.where(Label.image_id.in_(image_ids), Label.stage == Stage.STYLES)
    for row in conn.execute(query.order_by(Label.id)):
        found[row.image_id].append(row)
    return found


def _bounce(event: AnyRow, answers: Sequence[AnyRow], found: Sums) -> None:
    """A bounce counts on the day of the answer that it rejects, for whoever gave that."""
    before = [answer for answer in answers if answer.round < event.round]
    given = [answer for answer in before if answer.stage is event.target and answer.kind is Kind.SUBMIT]
    by_author = [answer for answer in given if answer.worker_id == event.about_id]
    rejected = (by_author or given)[-1:]
    worker_id = group_id = 0
    day = rejected[0].at.date() if rejected else event.at.date()
    if by_author:
        worker_id, group_id = by_author[-1].worker_id, by_author[-1].group_id
        found.add(WorkDay, _work_key(by_author[-1]), bounced=1)
    found.add(SupplierDay, (event.supplier_id, event.target, day), bounced=1)
    named = [answer for answer in before if answer.stage is Stage.STYLES and _is_labels(answer)][-1:]
    main = named[0].result["styles"][0] if named else ""
    codes = {code for piece in event.why or () for code in piece["reasons"]}
    for code in codes:
        key = (worker_id, group_id, event.supplier_id, event.target, main, comparing.short(code), day)
        found.add(ErrorDay, key, bounces=1)
    if event.target is Stage.STYLES and rejected and _is_labels(rejected[0]):
        for style in rejected[0].result["styles"]:
            found.add(StyleDay, (style, day), bounced=1)
    if event.stage in REVIEWING and event.stage is not Stage.FIRST_REVIEW:
        _missed(event, before, found)


def _missed(event: AnyRow, before: Sequence[AnyRow], found: Sums) -> None:
    """Whoever let it pass in the first review."""
    first = [each for each in before if each.stage is Stage.FIRST_REVIEW and _is_verdict(each)]
    if first and event.target in LABELLING and comparing.passes(first[-1].result):
        found.add(WorkDay, _work_key(first[-1]), missed=1)


def _acceptance(event: AnyRow, turns: Sequence[AnyRow], styles: Sequence[AnyRow], found: Sums) -> None:
    """An image came to be accepted, or is so no longer."""
    former = [turn for turn in turns if turn.id < event.id][-1:]
    was = bool(former) and STATES[former[0].what] is ImageState.ACCEPTED
    is_now = STATES[event.what] is ImageState.ACCEPTED
    if was == is_now:
        return
    change = 1 if is_now else -1
    found.add(ImageDay, (event.supplier_id, event.at.date()), accepted=change)
    as_of = event.round if is_now else former[0].round
    labels = [label.value for label in styles if label.round <= as_of][-1:]
    for style in labels and labels[0]["styles"][:1]:
        found.add(StyleDay, (style, event.at.date()), accepted=change)


_TELLERS: Mapping[Source, Any] = {Source.ANSWERS: _tell_answers, Source.EVENTS: _tell_events}
