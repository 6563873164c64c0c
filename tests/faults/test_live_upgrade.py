"""A migration of a system at work: whoever is in the middle of a transaction goes on, and it waits."""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType

import pytest
import sqlalchemy as sa

from crowd.core.db import Database
from crowd.core.migrate import downgrade, upgrade
from crowd.images.models import ImageState
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tasks import answers, decisions, handover, moves, shadows
from crowd.tasks.marks import MarkBook
from tests.faults.system import until
from tests.races.conftest import CREW
from tests.tasks.engine import Engine, Lease, open_database, passing, rejecting

pytestmark = [
    pytest.mark.parametrize("database_url", ["postgresql"], indirect=True),
    pytest.mark.own_database,
]
BEFORE = "0002"
MOST_WRITES = 30
# What rooms of later times listen to.
HOOKS: tuple[tuple[ModuleType, str], ...] = (
    (handover, "PROPOSERS"),
    (answers, "ANSWERED_HOOKS"),
    (answers, "MOVED_HOOKS"),
    (decisions, "DECIDED_HOOKS"),
    (moves, "BOUNCED_HOOKS"),
    (shadows, "STAND_INS"),
    (shadows, "FIRST_CALLS"),
    (shadows, "ERRANDS"),
)
WRITES = ("INSERT", "UPDATE", "DELETE")
# What the engine cannot do without. The table stands aside, so that the upgrade makes its own.
OF_LATER_TIMES = (
    "ALTER TABLE tasks ADD COLUMN purpose smallint NOT NULL DEFAULT 0, ADD COLUMN assignment_id bigint",
    "ALTER TABLE images ADD COLUMN contract_id bigint, ADD COLUMN delivery_id bigint,"
    " ADD COLUMN waiting boolean NOT NULL DEFAULT false, ADD COLUMN faces smallint,"
    " ADD COLUMN picture bytea",
    "CREATE SCHEMA IF NOT EXISTS later",
    "CREATE TABLE IF NOT EXISTS later.assignments (id bigint, ended_at timestamptz)",
)
# The migration waits for a lock, or lets go for a moment of those it has.
HELD_UP = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
AND (wait_event_type = 'Lock' OR wait_event = 'PgSleep')
"""


class Upgrade:
    """The upgrade in a thread of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.broken: list[BaseException] = []
        self.thread = threading.Thread(target=self._run)

    def begin(self) -> None:
        """Return once it is held up, or done."""
        self.thread.start()
        assert until(lambda: not self.thread.is_alive() or self._is_held_up(), 20, pause=0.01)

    def _is_held_up(self) -> bool:
        with self.database.read() as conn:
            return bool(conn.scalar(sa.text(HELD_UP)))

    def _run(self) -> None:
        try:
            upgrade(self.database.url)
        except BaseException as error:  # raised where the test is
            self.broken.append(error)


class Unkept(MarkBook):
    """Marks that are neither looked for in the database nor kept there."""

    def knows(self, worker_id: int, stage: Stage) -> bool:
        """Always."""
        return True

    def is_worth_moving(self, worker_id: int, stage: Stage, found: object) -> bool:
        """Never."""
        return False


def add_image(engine: Engine) -> Callable[[], object]:
    return engine.add_image


def give_back(engine: Engine) -> Callable[[], object]:
    engine.add_image()
    lease = _claim(engine, Stage.SEGMENTATION)
    return lambda: engine.release(lease, skip=True)


def accept(engine: Engine) -> Callable[[], object]:
    """The answer that ends an image's way: it writes task and answer before the image itself."""
    engine.image_at(Stage.SECOND_REVIEW)
    assert engine.pass_one()
    lease = _claim(engine, Stage.SECOND_REVIEW)
    return lambda: engine.answer(lease, passing(lease))


def bounce(engine: Engine) -> Callable[[], object]:
    engine.image_at(Stage.FIRST_REVIEW)
    lease = _claim(engine, Stage.FIRST_REVIEW)
    return lambda: engine.answer(lease, rejecting(Stage.SEGMENTATION))


def claim(engine: Engine) -> Callable[[], object]:
    engine.add_image()
    return lambda: _claim(engine, Stage.SEGMENTATION)


def withdraw(engine: Engine) -> Callable[[], object]:
    image_id = engine.add_image()
    admin = engine.hire(Grade.ADMIN)
    return lambda: engine.decide(admin, image_id, ImageState.WITHDRAWN, Stage.SEGMENTATION)


def _claim(engine: Engine, stage: Stage) -> Lease:
    for worker in engine.people_for(stage):
        lease = engine.claim(worker, stage)
        if isinstance(lease, Lease):
            return lease
    raise AssertionError("there is nothing to do")


@pytest.mark.parametrize("prepare", [add_image, give_back, accept, bounce, claim, withdraw])
def test_a_live_upgrade_and_a_transaction_in_its_middle_both_come_to_their_end(
    rt: Runtime, prepare: Callable[[Engine], Callable[[], object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with rt.db.begin() as conn:
        name = conn.exec_driver_sql("SELECT quote_ident(current_database())").scalar_one()
        conn.exec_driver_sql(f"ALTER DATABASE {name} SET search_path = public, later")
    rt.db.engine.dispose()
    engine = Engine(replace(rt, db=open_database(rt.db.url)))
    # The application of that time knew neither marks that are kept nor candidates.
    engine.book = Unkept()
    for module, hooks in HOOKS:
        monkeypatch.setattr(module, hooks, [])
    for grade, count in CREW.items():
        for _ in range(count):
            engine.hire(grade)
    for number in range(MOST_WRITES):
        act = prepare(engine)
        downgrade(engine.db.url, BEFORE)
        with engine.db.begin() as conn:
            for statement in OF_LATER_TIMES:
                conn.exec_driver_sql(statement)
        live = Upgrade(rt.db)
        with _after_write(engine.db, number, live.begin):
            act()
        if not live.thread.ident:
            break
        live.thread.join(30)
        assert not live.thread.is_alive()
        assert live.broken == []
        engine.clear()
    assert 1 < number < MOST_WRITES - 1
    engine.db.close()
    rt.db.close()


@contextmanager
def _after_write(database: Database, number: int, do: Callable[[], None]) -> Iterator[None]:
    """Do something in the middle of the block, behind the write of that number (from 0)."""
    numbers = itertools.count()

    def note(_conn: object, _cursor: object, text: str, *_: object) -> None:
        if text.lstrip().startswith(WRITES) and next(numbers) == number:
            do()

    sa.event.listen(database.engine, "after_cursor_execute", note)
    try:
        yield
    finally:
        sa.event.remove(database.engine, "after_cursor_execute", note)
