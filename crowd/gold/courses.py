"""Courses and exams: gold that is not hidden, in seats that are evidence for nobody but who sits there."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from crowd.core.clock import rfc3339
from crowd.core.db import AnyRow
from crowd.core.errors import Conflict, Forbidden, NotFound
from crowd.gold import queries, service
from crowd.gold import stock as rules
from crowd.gold.guide import GUIDE, explain
from crowd.gold.models import Origin
from crowd.gold.refreshers import service as refreshers
from crowd.gold.stock import REVIEWS, Missing, Stock
from crowd.policy import Grade, Policy, Stage
from crowd.tasks import lease_queries, leases, shadow_queries
from crowd.tasks import queries as tasks
from crowd.tasks.models import Purpose, TaskState
from crowd.tasks.shadows import Testimony
from crowd.tiers import exams


@dataclass(frozen=True, slots=True)
class Student:
    """Who learns, the grade they have, the taxonomy their tasks keep, and the policy."""

    worker_id: int
    grade: Grade
    taxonomy_id: int
    policy: Policy


def course(conn: Connection, student: Student, stage: Stage, now: datetime) -> dict[str, Any]:
    """A stage's course as one person stands in it."""
    policy = student.policy
    practised, right = queries.practice_of(conn, student.worker_id, stage)
    taken = exams.counting(conn, student.worker_id, stage)
    stock = stock_of(conn, student, stage, now)
    return {
        "stage": stage,
        "guide": list(GUIDE[stage]),
        "practised": practised,
        "right": right,
        "exam": {
            "items": rules.questions(stage, policy.gold),
            "pass_mark": policy.gold.exam_pass_mark,
            "passed": any(each.passed for each in taken),
            "open_id": next((each.id for each in taken if each.ended_at is None), None),
            "tries_left": max(0, policy.gold.exam_tries - len(taken)),
            "not_before": _not_before(taken, policy, now),
            "grade": exams.grade_of(stage, policy),
            "practice_left": rules.practice_left(stock, policy.gold),
            "missing": asdict(rules.missing(stock, policy.gold)),
        },
    }


def stock_of(conn: Connection, student: Student, stage: Stage, now: datetime) -> Stock:
    """What the pool of a stage has for a person."""
    policy, who = student.policy, student.worker_id
    # More than any rule asks about.
    most = rules.questions(stage, policy.gold) + policy.gold.exam_practice + 1
    bad = queries.count_unmet(conn, who, stage, most, True) if stage in REVIEWS else 0
    practised, today = queries.practice_given(conn, who, stage, _midnight(now))
    return Stock(
        stage=stage,
        pool=queries.count_items(conn, stage),
        good=queries.count_unmet(conn, who, stage, most, False if stage in REVIEWS else None),
        bad=bad,
        practised=practised,
        today=today,
        answered=queries.practice_of(conn, who, stage)[0],
        examined=stage in policy.stages_for(student.grade) or stage in exams.passed_stages(conn, who),
    )


def practise(
    conn: Connection, student: Student, stage: Stage, now: datetime, *, example: bool = False
) -> tuple[AnyRow, int]:
    """A practice task, leased, and the item behind it; `example`: its answer is handed over with it.

    Raises Forbidden, Conflict `capped`, `enough_today`, `no_more`.
    """
    _lock(conn, student, now)
    numbers = student.policy.gold
    stock = stock_of(conn, student, stage, now)
    if stock.today >= numbers.practice_daily:
        text = f"{numbers.practice_daily} practice tasks at {stage} are enough for a day."
        raise Conflict("enough_today", f"{text} There are more tomorrow.")
    seated = None
    if rules.room(stock, numbers):
        kind = rules.kind_to_practise(stock, numbers)
        seated = _sit(conn, student, stage, Purpose.PRACTICE, None, now, bad=kind, example=example)
    if seated is None:
        raise Conflict("no_more", f"There is nothing more to practise at {stage}: {_why_no_more(stock)}.")
    return seated


def lesson(conn: Connection, worker_id: int, stage: Stage, task_id: int) -> dict[str, Any]:
    """What an answered practice task teaches. Raises NotFound, Forbidden, Conflict `not_answered`."""
    seat = queries.seat(conn, task_id)
    if seat is None or seat.purpose is not Purpose.PRACTICE or seat.stage is not stage:
        raise NotFound("no_such_task", f"There is no practice task {task_id} at {stage}.")
    if seat.worker_id != worker_id:
        raise Forbidden("not_your_task", "Somebody else practised this.")
    if seat.answered_at is None:
        raise Conflict("not_answered", "Answer the task first.")
    return {
        "task_id": task_id,
        "value": seat.value,
        "right": seat.passed,
        "known": seat.answer,
        "notes": [{**note, "text": explain(note)} for note in seat.notes],
    }


def begin_exam(conn: Connection, student: Student, stage: Stage, now: datetime) -> int:
    """A new exam. Raises Forbidden, and Conflict with what stands against it."""
    _lock(conn, student, now)
    policy = student.policy.gold
    taken = exams.counting(conn, student.worker_id, stage)
    if any(each.ended_at is None for each in taken):
        raise Conflict("exam_open", "Finish the exam you have begun.")
    if any(each.passed for each in taken):
        raise Conflict("exam_passed", "You have passed this exam.")
    if len(taken) >= policy.exam_tries:
        raise Conflict("no_tries_left", "There are no tries left; ask an admin.")
    not_before = _not_before(taken, student.policy, now)
    if not_before is not None:
        raise Conflict("too_soon", f"The next try is possible from {rfc3339(not_before)} on.")
    stock = stock_of(conn, student, stage, now)
    items, missing = rules.questions(stage, policy), rules.missing(stock, policy)
    if missing:
        raise Conflict("too_little_gold", _what_is_missing(missing, items))
    left = rules.practice_left(stock, policy)
    if left:
        text = f"Practise first: {left} more answers at {stage}, and the exam is open to you."
        raise Conflict("practice_first", text)
    return exams.begin(conn, student.worker_id, stage, items, now)


def next_question(conn: Connection, student: Student, exam_id: int, now: datetime) -> AnyRow | None:
    """The question that is open or the next one; None when the exam is over. Raises NotFound, Forbidden.

    A question let go or left to run out is missed.
    """
    found = own_exam(conn, exam_id, student.worker_id)
    tasks.lock_worker(conn, student.worker_id)
    asked = queries.seats_of_exam(conn, exam_id)
    for seat in asked:
        if seat.answered_at is None:
            task = tasks.task_row(conn, seat.task_id)
            assert task is not None
            if task.state is TaskState.LEASED and task.lease_until > now:
                return task
            queries.answer_seat(conn, seat.task_id, 0.0, False, [], now)
    if found.ended_at is None and len(asked) < found.items:
        _lock(conn, student, now)
        bad = [seat.origin is Origin.PLANTED for seat in asked]
        kind = rules.kind_to_ask(
            found.stage, len(bad) - sum(bad), sum(bad), student.policy.gold, found.items, service.DICE
        )
        seated = _sit(conn, student, found.stage, Purpose.EXAM, exam_id, now, bad=kind)
        if seated is not None:
            return seated[0]
    _end_if_done(conn, student.policy, found, now)
    return None


def own_exam(conn: Connection, exam_id: int, worker_id: int | None) -> AnyRow:
    """An exam, if it is this person's (None: anybody's). Raises NotFound, Forbidden."""
    found = exams.exam(conn, exam_id)
    if found is None:
        raise NotFound("no_such_exam", f"There is no exam {exam_id}.")
    if worker_id is not None and found.worker_id != worker_id:
        raise Forbidden("not_your_exam", "This is somebody else's exam.")
    return found


def exam_view(conn: Connection, found: AnyRow) -> dict[str, Any]:
    """An exam as its candidate sees it: the result alone, not which answers were wrong."""
    answered = [seat for seat in queries.seats_of_exam(conn, found.id) if seat.answered_at is not None]
    return {**found._mapping, "answered": len(answered)}


@dataclass(frozen=True, slots=True)
class Examiner:
    """Takes the answers of exams and practice."""

    policy: Policy

    def practised(self, conn: Connection, said: Testimony) -> None:
        """A practice answer: kept with its notes, and no evidence about anybody."""
        service.judge(conn, said, self.policy)
        refreshers.practised(conn, said)

    def answered(self, conn: Connection, said: Testimony) -> None:
        """An exam's answer; the last one ends the exam."""
        seat, _ = service.judge(conn, said, self.policy)
        if seat is None:
            return
        found = exams.exam(conn, seat.exam_id)
        assert found is not None
        _end_if_done(conn, self.policy, found, said.at)


def _lock(conn: Connection, student: Student, now: datetime) -> None:
    person = tasks.lock_worker(conn, student.worker_id)
    if person.barred:
        raise leases.suspended()
    if person.grade is Grade.ADMIN:
        raise Forbidden("grade", "An admin labels nothing, and learns it elsewhere.")
    if lease_queries.held(conn, student.worker_id, now, batch=False) >= student.policy.held_leases:
        raise Conflict("capped", "Finish or release what you hold first.")


def _sit(
    conn: Connection,
    student: Student,
    stage: Stage,
    purpose: Purpose,
    exam_id: int | None,
    now: datetime,
    *,
    bad: bool | None,
    example: bool = False,
) -> tuple[AnyRow, int] | None:
    item = _unmet(conn, student.worker_id, stage, bad)
    if item is None:
        return None
    until = now + timedelta(seconds=student.policy.stages[stage].lease_seconds)
    labels = {Stage(name): value for name, value in item.labels.items()}
    task = shadow_queries.seat_beside(
        conn, purpose, stage, item.source_id, labels, student.worker_id, student.taxonomy_id, now, until
    )
    who, source_id = student.worker_id, item.source_id
    queries.add_seat(conn, task.id, item.gold_id, who, source_id, purpose, now, exam_id, example=example)
    return task, item.gold_id


def _unmet(conn: Connection, worker_id: int, stage: Stage, bad: bool | None) -> AnyRow | None:
    """An item that the person has not met: of the kind that is asked for, or, where there is none, of any."""
    thrown = service.DICE.randrange(queries.MOST_PLACE)
    for kind in dict.fromkeys((bad, None)):
        for beyond in (thrown, 0):
            item = queries.unmet_item(conn, worker_id, stage, beyond, kind)
            if item is not None:
                return item
    return None


def _why_no_more(stock: Stock) -> str:
    if not stock.unmet:
        return "you have met all there is; an admin can add gold"
    return "the rest is kept for your exam" if not stock.examined else "the rest is kept"


def _what_is_missing(missing: Missing, items: int) -> str:
    lacking = (("good", missing.good), ("bad", missing.bad))
    kinds = [f"{number} of {kind} work" for kind, number in lacking if number]
    among = f" ({' and '.join(kinds)} among them)" if kinds else ""
    return (
        f"The exam has {items} questions that you have not met; {missing.questions} are missing{among}. "
        "An admin can add gold; practice is open as long as there is any."
    )


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _not_before(taken: list[AnyRow], policy: Policy, now: datetime) -> datetime | None:
    ended = [each.ended_at for each in taken if each.ended_at is not None]
    if not ended:
        return None
    again = max(ended) + timedelta(hours=policy.gold.exam_wait_hours)
    return again if again > now else None


def _end_if_done(conn: Connection, policy: Policy, found: AnyRow, now: datetime) -> None:
    asked = queries.seats_of_exam(conn, found.id)
    if found.ended_at is not None or any(seat.answered_at is None for seat in asked):
        return
    if len(asked) < found.items and queries.count_unmet(conn, found.worker_id, found.stage, 1):
        return
    # What could not be asked, since the pool has shrunk meanwhile, does not count against anybody.
    score = round(sum(seat.value for seat in asked) / max(1, len(asked)), 6)
    passed = len(asked) > 0 and score >= policy.gold.exam_pass_mark
    if exams.end(conn, found.id, score, passed, now) and passed:
        exams.propose(conn, policy, found, score, now)
