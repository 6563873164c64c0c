"""Where a search begins never changes what it finds."""

import contextlib
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import exc

from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tasks import claim_queries, leases, queries
from crowd.tasks.leases import Claimant, QueueState
from crowd.tasks.marks import FRESH_SECONDS, LIFE_SECONDS, SIGHT_SECONDS, STRIDE, MarkBook, book_of
from crowd.tasks.models import Task
from tests.tasks.engine import Engine, Lease, eager_book, open_database, passing

LATER = timedelta(minutes=30)


@pytest.fixture
def engine(rt: Runtime) -> Engine:
    return Engine(rt)


def draw(engine: Engine, person: int) -> int:
    """The person draws the next image; its id."""
    lease = claimed(engine, person, Stage.SEGMENTATION)
    assert engine.answer(lease, passing(lease)) is None
    return lease.image_id


def claimed(engine: Engine, person: int, stage: Stage | None = None) -> Lease:
    lease = engine.claim(person, stage)
    assert isinstance(lease, Lease), lease
    return lease


def to_first_review(engine: Engine, by: int) -> int:
    """A new image that `by` drew, up to its first review."""
    image = engine.add_image()
    draw(engine, by)
    for grade, stage in ((Grade.GENERAL, Stage.ATTRIBUTES), (Grade.EXPERT, Stage.STYLES)):
        lease = claimed(engine, engine.crew[grade][0], stage)
        assert engine.answer(lease, passing(lease)) is None
    return image


@pytest.fixture
def reviewer(engine: Engine) -> int:
    """Somebody whose own five images stand at the head of the first review, before one of another's."""
    for grade in (Grade.GENERAL, Grade.EXPERT):
        engine.hire(grade)
    engine.hire(Grade.REVIEWER)
    person = engine.hire(Grade.REVIEWER)
    for _ in range(5):
        to_first_review(engine, person)
    return person


def mark(engine: Engine, person: int, stage: Stage = Stage.FIRST_REVIEW) -> int:
    return engine.book.of(person, stage).by_priority.get(0, 0)


def task_ids(engine: Engine, stage: Stage) -> list[int]:
    with engine.db.read() as conn:
        return list(conn.execute(sa.select(Task.id).where(Task.stage == stage).order_by(Task.id)).scalars())


def test_the_next_search_begins_behind_ones_own_work(engine: Engine, reviewer: int) -> None:
    to_first_review(engine, engine.crew[Grade.GENERAL][0])
    engine.now += LATER
    taken = claimed(engine, reviewer, Stage.FIRST_REVIEW)
    assert mark(engine, reviewer) >= taken.task_id > max(task_ids(engine, Stage.FIRST_REVIEW)[:-1])


def test_others_still_find_that_work(engine: Engine, reviewer: int) -> None:
    engine.now += LATER
    assert engine.claim(reviewer, Stage.FIRST_REVIEW) is QueueState.EMPTY
    other = claimed(engine, engine.crew[Grade.REVIEWER][0], Stage.FIRST_REVIEW)
    assert other.task_id == task_ids(engine, Stage.FIRST_REVIEW)[0]


def test_the_young_are_not_passed_over(engine: Engine, reviewer: int) -> None:
    """Not before all who were at work when they were first seen have ended."""
    engine.book = eager_book(sight=SIGHT_SECONDS)
    assert engine.claim(reviewer, Stage.FIRST_REVIEW) is QueueState.EMPTY
    assert mark(engine, reviewer) <= task_ids(engine, Stage.FIRST_REVIEW)[0]


def test_what_comes_back_before_the_mark_is_found_where_it_stood(engine: Engine, reviewer: int) -> None:
    general = engine.crew[Grade.GENERAL][0]
    first, second, third = (engine.add_image() for _ in range(3))
    engine.now += LATER
    away = claimed(engine, general, Stage.SEGMENTATION)
    later = claimed(engine, reviewer, Stage.SEGMENTATION)
    assert (away.image_id, later.image_id) == (first, second)
    helper = engine.hire(Grade.GENERAL)
    assert claimed(engine, helper, Stage.SEGMENTATION).image_id == third
    newest = engine.add_image()
    engine.now += LATER
    engine.tidy()
    # All three have come back; the mark of this person stands behind them.
    engine.book.move(helper, Stage.SEGMENTATION, {0: task_ids(engine, Stage.SEGMENTATION)[-1]})
    found = [claimed(engine, helper, Stage.SEGMENTATION).image_id for _ in range(3)]
    assert found == [first, second, third]
    assert newest not in found


def test_a_better_priority_goes_before_every_mark(
    engine: Engine, reviewer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.now += LATER
    monkeypatch.setattr(claim_queries, "LEAST_PASSED", 1)
    assert engine.claim(reviewer, Stage.FIRST_REVIEW) is QueueState.EMPTY
    assert mark(engine, reviewer)
    urgent = to_first_review(engine, engine.crew[Grade.GENERAL][0])
    plain = to_first_review(engine, engine.crew[Grade.GENERAL][0])
    with engine.db.begin() as conn:
        conn.execute(sa.update(Task).where(Task.image_id == urgent).values(priority=-3))
    assert [claimed(engine, reviewer, Stage.FIRST_REVIEW).image_id for _ in range(2)] == [urgent, plain]


def test_every_priority_has_a_mark_of_its_own(
    engine: Engine, reviewer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Own work at two priorities is passed at both."""
    monkeypatch.setattr(claim_queries, "LEAST_PASSED", 2)
    with engine.db.begin() as conn:
        conn.execute(sa.update(Task).where(Task.image_id <= 2).values(priority=-1))
    other = to_first_review(engine, engine.crew[Grade.GENERAL][0])
    engine.now += LATER
    assert claimed(engine, reviewer, Stage.FIRST_REVIEW).image_id == other
    assert set(engine.book.of(reviewer, Stage.FIRST_REVIEW).by_priority) == {-1, 0}


def test_a_seat_beside_ones_own_is_not_passed_for_good(engine: Engine, reviewer: int) -> None:
    """It becomes theirs to take again when they give their seat back."""
    inspector = engine.hire(Grade.INSPECTOR)
    checker = engine.crew[Grade.REVIEWER][0]
    lease = claimed(engine, checker, Stage.FIRST_REVIEW)
    assert engine.answer(lease, passing(lease)) is None
    seat = claimed(engine, inspector, Stage.SECOND_REVIEW)
    engine.now += LATER
    assert engine.claim(inspector, Stage.SECOND_REVIEW) is not None
    both = task_ids(engine, Stage.SECOND_REVIEW)
    assert len(both) == 2
    assert mark(engine, inspector, Stage.SECOND_REVIEW) <= max(both)
    assert seat.task_id in both


def test_a_new_process_begins_where_another_one_did(engine: Engine, reviewer: int) -> None:
    to_first_review(engine, engine.crew[Grade.GENERAL][0])
    engine.now += LATER
    claimed(engine, reviewer, Stage.FIRST_REVIEW)
    known = engine.book.of(reviewer, Stage.FIRST_REVIEW).by_priority
    another = to_first_review(engine, engine.crew[Grade.GENERAL][0])
    engine.now += timedelta(minutes=5)
    fresh = engine.book = MarkBook()
    assert claimed(engine, reviewer, Stage.FIRST_REVIEW).image_id == another
    assert fresh.of(reviewer, Stage.FIRST_REVIEW).by_priority == known
    assert known


def test_marks_do_not_outlive_their_time_by_moving_into_another_process(
    engine: Engine, reviewer: int
) -> None:
    for _ in range(2):
        to_first_review(engine, engine.crew[Grade.GENERAL][0])
    engine.now += LATER
    claimed(engine, reviewer, Stage.FIRST_REVIEW)
    timer = Timer()
    engine.now += timedelta(seconds=LIFE_SECONDS - 10)
    engine.book = MarkBook(timer)
    claimed(engine, reviewer, Stage.FIRST_REVIEW)
    assert engine.book.of(reviewer, Stage.FIRST_REVIEW).by_priority
    timer.now += 20
    assert not engine.book.of(reviewer, Stage.FIRST_REVIEW).by_priority
    engine.now += timedelta(seconds=20)
    with engine.db.read() as conn:
        kept = claim_queries.kept_marks(conn, reviewer, Stage.FIRST_REVIEW, engine.now)
    assert kept == ({}, 0.0)


def test_a_claim_that_was_rolled_back_is_found_by_who_passed_over_it(rt: Runtime) -> None:
    """Whoever took the next task while it was locked has seen nothing of it, nor will a new process."""
    if rt.db.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    engine = Engine(rt)
    first, second = engine.hire(Grade.GENERAL), engine.hire(Grade.GENERAL)
    images = [engine.add_image() for _ in range(4)]
    engine.now += LATER
    other = engine.again()
    with engine.db.engine.connect() as conn, conn.begin() as dying:
        claimant = Claimant(first, engine.taxonomy_id)
        held = leases.claim(conn, claimant, engine.policy, engine.now, Stage.SEGMENTATION)
        assert not isinstance(held, QueueState)
        passed = claimed(other, second, Stage.SEGMENTATION)
        dying.rollback()
    other.db.close()
    assert [held.image_id, passed.image_id] == images[:2]
    assert engine.answer(passed, passing(passed)) is None
    engine.now += timedelta(minutes=5)
    engine.book = eager_book()
    assert claimed(engine, second, Stage.SEGMENTATION).image_id == images[0]


def test_a_transaction_that_took_tasks_moves_no_marks(engine: Engine, reviewer: int) -> None:
    """It may yet give them back, to where the marks would then hide them."""
    inspector, seats = to_second_review(engine, 3)
    engine.now += LATER
    with engine.db.engine.connect() as conn, conn.begin() as undone:
        claimant = Claimant(inspector, engine.taxonomy_id)
        taken = leases.claim_batch(conn, claimant, engine.policy, engine.now, 9, book=engine.book)
        assert len(taken) == 3
        undone.rollback()
    assert mark(engine, inspector, Stage.SECOND_REVIEW) <= min(seats)
    assert len(engine.claim_batch(inspector, 9)) == 3


def test_in_a_grid_too_an_old_mark_does_not_hide_what_is_left(engine: Engine, reviewer: int) -> None:
    inspector, seats = to_second_review(engine, 2)
    timer = Timer()
    book = engine.book = MarkBook(timer)
    book.move(inspector, Stage.SECOND_REVIEW, {0: max(seats) + 1})
    engine.is_alone = False
    assert engine.claim_batch(inspector, 9) == []
    timer.now += FRESH_SECONDS + 1
    assert len(engine.claim_batch(inspector, 9)) == 2


def test_a_seat_given_back_from_a_large_grid_is_found_by_a_new_process(engine: Engine, reviewer: int) -> None:
    one, _ = to_second_review(engine, 26)
    other = engine.hire(Grade.INSPECTOR)
    engine.now += LATER
    first, *rest = engine.claim_batch(one, 26)
    for lease in rest:
        assert engine.answer(lease, passing(lease)) is None
    engine.release(first)
    while taken := engine.claim_batch(other, 60):
        for lease in taken:
            assert engine.answer(lease, passing(lease)) is None
    engine.now += timedelta(minutes=10)
    engine.book = MarkBook()
    assert [lease.image_id for lease in engine.claim_batch(one, 60)] == [first.image_id]


def to_second_review(engine: Engine, images: int) -> tuple[int, list[int]]:
    """An inspector, and the seats of so many images at their second review."""
    inspector = engine.hire(Grade.INSPECTOR)
    general, checker = engine.crew[Grade.GENERAL][0], engine.crew[Grade.REVIEWER][0]
    for _ in range(images):
        to_first_review(engine, general)
        lease = claimed(engine, checker, Stage.FIRST_REVIEW)
        assert engine.answer(lease, passing(lease)) is None
    return inspector, task_ids(engine, Stage.SECOND_REVIEW)


def test_marks_of_a_database_that_went_away_are_forgotten(rt: Runtime) -> None:
    """The next one may be a standby that gives ids anew."""
    if rt.db.is_sqlite:
        pytest.skip("SQLite has no server that could go away")
    book = book_of(rt.db)
    book.move(1, Stage.STYLES, {0: 7})

    def lose_the_connection() -> None:
        with rt.db.begin() as conn, rt.db.begin() as other:
            own = conn.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            other.exec_driver_sql(f"SELECT pg_terminate_backend({own})")
            queries.task_row(conn, 1)

    with pytest.raises(exc.DBAPIError):
        lose_the_connection()
    assert not book.of(1, Stage.STYLES).by_priority


class Timer:
    """A clock that stands still until moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_queue_is_called_empty_only_by_fresh_marks(engine: Engine, reviewer: int) -> None:
    """Whatever went wrong with a mark, a search five minutes later sees all of the queue."""
    timer = Timer()
    book = MarkBook(timer)
    engine.add_image()
    book.move(reviewer, Stage.SEGMENTATION, {0: 10**9})
    claimant = Claimant(reviewer, engine.taxonomy_id)

    def ask() -> object:
        with engine.db.begin() as conn:
            found = leases.claim(conn, claimant, engine.policy, engine.now, Stage.SEGMENTATION, book=book)
            return found if isinstance(found, QueueState) else "a task"

    assert ask() is QueueState.EMPTY
    timer.now += FRESH_SECONDS + 1
    assert ask() == "a task"


def test_marks_are_moved_when_much_was_passed_over_and_not_at_once_again(engine: Engine) -> None:
    timer = Timer()
    book = MarkBook(timer)
    near, far = (_Row(task_id, 0) for task_id in (STRIDE, STRIDE + 1))
    stage = Stage.STYLES
    assert not book.is_worth_moving(1, stage, near)  # type: ignore[arg-type]  # has what is looked at
    assert book.is_worth_moving(1, stage, far)  # type: ignore[arg-type]
    book.move(1, stage, {})
    assert not book.is_worth_moving(1, stage, far)  # type: ignore[arg-type]
    timer.now += 6
    assert book.is_worth_moving(1, stage, far)  # type: ignore[arg-type]
    book.move(1, stage, {0: STRIDE})
    timer.now += 6
    assert not book.is_worth_moving(1, stage, far)  # type: ignore[arg-type]


def test_no_mark_lives_for_ever_however_often_it_moves() -> None:
    timer = Timer()
    book = MarkBook(timer)
    for step in range(9):
        book.move(1, Stage.STYLES, {0: step})
        timer.now += LIFE_SECONDS / 8
    assert not book.of(1, Stage.STYLES).by_priority


def test_what_passed_through_an_empty_queue_lies_before_the_mark(engine: Engine, reviewer: int) -> None:
    """Its dead rows may stay for as long as somebody holds a snapshot; the next one is found."""
    for _ in range(5):
        lease = claimed(engine, engine.crew[Grade.REVIEWER][0], Stage.FIRST_REVIEW)
        assert engine.answer(lease, passing(lease)) is None
    stranger = engine.hire(Grade.REVIEWER)
    passed = max(task_ids(engine, Stage.FIRST_REVIEW))
    for _ in range(2):
        assert engine.claim(stranger, Stage.FIRST_REVIEW) is QueueState.EMPTY
    assert mark(engine, stranger) > passed
    image = to_first_review(engine, engine.crew[Grade.GENERAL][0])
    assert claimed(engine, stranger, Stage.FIRST_REVIEW).image_id == image


def test_the_horizon_stops_at_who_was_at_work(engine: Engine) -> None:
    """A task that commits late, with a smaller id than others already seen, is not passed over."""
    if engine.db.is_sqlite:
        pytest.skip("one transaction writes at a time")
    person = engine.hire(Grade.GENERAL)
    engine.add_image()
    draw(engine, person)

    def in_vain() -> int:
        for _ in range(3):
            assert engine.claim(person, Stage.SEGMENTATION) is QueueState.EMPTY
        return engine.book.horizon.task_id

    with contextlib.closing(open_database(engine.db.url)) as other, other.begin() as conn:
        late = engine.add_image_in(conn)
        engine.add_image()
        newest = max(task_ids(engine, Stage.SEGMENTATION))
        draw(engine, person)
        assert in_vain() < newest
    found = claimed(engine, person, Stage.SEGMENTATION)
    assert (found.image_id, found.task_id < newest) == (late, True)
    assert in_vain() >= newest


def test_what_is_committed_between_two_looks_is_not_passed_over(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The horizon is older than the search it is used for, else it vouches for what that did not see."""
    if engine.db.is_sqlite:
        pytest.skip("one transaction writes at a time")
    person = engine.hire(Grade.GENERAL)
    engine.add_image()
    draw(engine, person)
    looked = claim_queries.first_open
    with contextlib.closing(open_database(engine.db.url)) as other, contextlib.ExitStack() as stack:
        conn = stack.enter_context(other.begin())
        late = engine.add_image_in(conn)
        engine.add_image()
        draw(engine, person)
        assert engine.claim(person, Stage.SEGMENTATION) is QueueState.EMPTY

        def look(*given: Any) -> Any:
            found = looked(*given)
            stack.close()
            return found

        engine.is_alone = False
        monkeypatch.setattr(claim_queries, "first_open", look)
        engine.claim(person, Stage.SEGMENTATION)
        monkeypatch.setattr(claim_queries, "first_open", looked)
        assert claimed(engine, person, Stage.SEGMENTATION).image_id == late


class _Row:
    def __init__(self, task_id: int, priority: int) -> None:
        self.id, self.priority = task_id, priority


def test_a_new_process_still_finds_the_seat_beside_one_that_was_given_back(
    engine: Engine, reviewer: int
) -> None:
    inspector = engine.hire(Grade.INSPECTOR)
    checker = engine.crew[Grade.REVIEWER][0]
    for _ in range(2):
        lease = claimed(engine, checker, Stage.FIRST_REVIEW)
        assert engine.answer(lease, passing(lease)) is None
    engine.now += LATER
    first, second = (claimed(engine, inspector, Stage.SECOND_REVIEW) for _ in range(2))
    assert first.image_id != second.image_id
    engine.now += timedelta(minutes=2)
    engine.release(first, skip=True)
    engine.book = eager_book()
    beside = claimed(engine, inspector, Stage.SECOND_REVIEW)
    assert beside.image_id == first.image_id
    assert beside.task_id != first.task_id
