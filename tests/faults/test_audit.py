"""The audits themselves: an honest story passes; each way of telling it wrongly is found."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from crowd.core import clock
from crowd.core.db import Database
from crowd.images.models import Image, ImageEvent, What
from crowd.policy import Stage
from crowd.runtime import Runtime
from crowd.tasks import counts
from crowd.tasks.models import Count, CountDelta, Task, TaskState
from tests.faults.audit import Breach, Facts, Finding, audit, audit_figures, read_facts
from tests.faults.ledger import Act, Entry, Ledger
from tests.races.conftest import CREW
from tests.tasks.engine import Engine, Lease, open_database, passing

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Story:
    """Two images: one accepted, one on its way, and what its people were told."""

    def __init__(self, rt: Runtime) -> None:
        self.engine = Engine(replace(rt, db=open_database(rt.db.url)))
        self.ledger = Ledger()
        self.clock = time.time()
        for grade, count in CREW.items():
            for _ in range(count):
                self.engine.hire(grade)
        self.accepted = self.engine.add_image()
        for _ in range(6):
            self.work()
        self.going_on = self.engine.add_image()
        for _ in range(2):
            self.work()

    @property
    def db(self) -> Database:
        return self.engine.db

    def work(self) -> None:
        """Somebody claims a task and answers it, as a client with a ledger would."""
        for stage in dict.fromkeys(task.stage for task in self.engine.open_tasks()):
            for worker in self.engine.people_for(stage):
                lease = self.engine.claim(worker, stage)
                if isinstance(lease, Lease):
                    self.note(lease, Act.CLAIM, 200, until=self.clock + 60)
                    result = passing(lease)
                    assert self.engine.answer(lease, result) is None
                    self.note(lease, Act.SUBMIT, 200, body={"result": result})
                    return
        raise AssertionError("there is nothing to do")

    def note(self, lease: Lease, act: Act, status: int | None, **more: Any) -> None:
        """What the client was told, a second after the last thing."""
        self.clock += 1
        self.ledger.note(
            Entry(
                lease.worker_id,
                act,
                self.clock,
                self.clock + 0.5,
                status,
                lease.task_id,
                lease.token,
                **more,
            )
        )

    def findings(self, facts: Facts | None = None) -> list[Finding]:
        """What the audit says."""
        known = facts or read_facts(self.db)
        return audit(self.ledger, known, self.engine.policy, self.clock, settled=True)

    def change(self, statement: sa.Update | sa.Delete) -> None:
        """Have the database forget or invent something, behind the application's back."""
        with self.db.begin() as conn:
            conn.execute(statement)

    @property
    def answers(self) -> list[Entry]:
        return [*self.ledger.of(Act.SUBMIT)]

    def replace_entry(self, entry: Entry, **changes: Any) -> None:
        place = self.ledger.entries.index(entry)
        self.ledger.entries[place] = replace(entry, **changes)


@pytest.fixture
def story(rt: Runtime) -> Story:
    return Story(rt)


def breaches(findings: list[Finding]) -> set[Breach]:
    return {finding.breach for finding in findings}


def test_an_honest_story_has_no_findings(story: Story) -> None:
    assert len(story.answers) == 8
    assert story.findings() == []


def test_an_acknowledged_answer_that_the_database_lacks_is_lost(story: Story) -> None:
    facts = read_facts(story.db)
    cut = replace(facts, submissions=facts.submissions[:-1])
    assert Breach.LOST in breaches(story.findings(cut))


def test_an_answer_kept_otherwise_than_it_was_sent_is_lost(story: Story) -> None:
    last = story.answers[-1]
    story.replace_entry(last, body={"result": {"score": 1, "comment": "something else"}})
    assert breaches(story.findings()) == {Breach.LOST}


def test_a_retry_must_not_take_the_place_of_the_first_answer(story: Story) -> None:
    last = story.answers[-1]
    story.replace_entry(last, body={"result": {"score": 1, "comment": "the first"}})
    # What is kept is the body of the second, which was sent after the first had been acknowledged.
    story.ledger.note(replace(last, sent=last.got + 1, got=last.got + 2))
    assert breaches(story.findings()) == {Breach.LOST}


def test_which_of_two_answers_sent_at_once_is_kept_is_left_open(story: Story) -> None:
    last = story.answers[-1]
    story.replace_entry(last, body={"result": {"score": 1, "comment": "the other"}})
    story.ledger.note(replace(last, sent=last.got - 0.1, got=last.got + 2))
    assert story.findings() == []


def test_an_answer_that_counts_but_was_refused_is_found(story: Story) -> None:
    story.replace_entry(story.answers[-1], status=409, code="conflict")
    assert Breach.LOST in breaches(story.findings())


def test_a_late_answer_refused_though_nobody_else_had_the_task_is_found(story: Story) -> None:
    lease = claim_any(story)
    story.note(lease, Act.CLAIM, 200, until=story.clock + 2)
    story.note(lease, Act.SUBMIT, 409, code="lease_lost", body={"result": passing(lease)})
    assert breaches(story.findings()) == {Breach.LOST}


def test_a_token_that_moved_by_itself_is_found(story: Story) -> None:
    [open_task, *_] = story.engine.open_tasks()
    story.change(sa.update(Task).where(Task.id == open_task.id).values(token=Task.token + 1))
    assert breaches(story.findings()) == {Breach.LOST}


def test_a_claim_that_the_database_gave_to_somebody_else_is_found(story: Story) -> None:
    entry = next(story.ledger.of(Act.CLAIM))
    story.replace_entry(entry, who=entry.who + 1)
    assert Breach.LOST in breaches(story.findings())


def test_two_leases_of_one_task_at_once_are_found(story: Story) -> None:
    lease = claim_any(story)
    story.note(lease, Act.CLAIM, 200, until=story.clock + 60)
    story.note(replace(lease, worker_id=lease.worker_id + 1), Act.CLAIM, 200, until=story.clock + 60)
    assert Breach.HOLDERS in breaches(story.findings())


def test_a_lease_after_the_end_of_another_is_no_second_holder(story: Story) -> None:
    lease = claim_any(story)
    story.note(lease, Act.CLAIM, 200, until=story.clock + 60)
    story.note(lease, Act.RELEASE, 204)
    story.engine.release(lease)
    again = story.engine.claim(lease.worker_id, lease.stage)
    assert isinstance(again, Lease)
    story.note(again, Act.CLAIM, 200, until=story.clock + 60)
    assert [each for each in story.findings() if each.breach is Breach.HOLDERS] == []


def test_a_heartbeat_acknowledged_after_the_next_claim_is_found(story: Story) -> None:
    lease = claim_any(story)
    story.note(lease, Act.CLAIM, 200, until=story.clock + 1)
    story.clock += 5
    later = replace(lease, worker_id=lease.worker_id + 1, token=lease.token + 1)
    story.note(later, Act.CLAIM, 200, until=story.clock + 60)
    story.note(lease, Act.HEARTBEAT, 200, until=story.clock + 60)
    assert Breach.HOLDERS in breaches(story.findings())


def test_a_stage_that_never_opened_leaves_the_image_orphaned(story: Story) -> None:
    [open_task, *_] = story.engine.open_tasks()
    story.change(sa.delete(Task).where(Task.id == open_task.id))
    assert breaches(story.findings()) == {Breach.ORPHANED}


def test_an_open_task_that_was_closed_for_no_reason_is_orphaned(story: Story) -> None:
    [open_task, *_] = story.engine.open_tasks()
    story.change(sa.update(Task).where(Task.id == open_task.id).values(state=TaskState.CLOSED))
    assert breaches(story.findings()) == {Breach.ORPHANED}


def test_a_stage_that_opened_twice_is_found(story: Story) -> None:
    [open_task, *_] = story.engine.open_tasks()
    columns = [each.name for each in Task.__table__.columns if each.name not in ("id", "seat")]
    copied = sa.select(*(Task.__table__.c[each] for each in columns), sa.literal(9)).where(
        Task.id == open_task.id
    )
    with story.db.begin() as conn:
        conn.execute(sa.insert(Task).from_select([*columns, "seat"], copied))
    assert breaches(story.findings()) == {Breach.TWICE}


def test_a_state_that_the_history_does_not_tell_of_is_found(story: Story) -> None:
    story.change(sa.update(Image).where(Image.id == story.going_on).values(round=7))
    assert breaches(story.findings()) == {Breach.OTHER}


def test_an_image_that_nobody_will_prepare_is_orphaned(story: Story) -> None:
    story.change(sa.update(Image).where(Image.id == story.going_on).values(width=None, height=None))
    assert Breach.ORPHANED in breaches(story.findings())


@pytest.mark.parametrize(
    "cut",
    [
        lambda events: [each for each in events if each.what is not What.ACCEPTED],
        lambda events: [*events, events[-2]],
        lambda events: [each for each in events if each.stage is not Stage.STYLES],
    ],
    ids=["an end that is missing", "an answer told twice", "an answer that is missing"],
)
def test_a_history_that_is_not_the_ledgers_is_found(
    story: Story, cut: Callable[[list[ImageEvent]], list[ImageEvent]]
) -> None:
    facts = read_facts(story.db)
    events = {**facts.events, story.accepted: cut([*facts.events[story.accepted]])}  # type: ignore[list-item]
    assert story.findings(replace(facts, events=events)) != []  # type: ignore[arg-type]


def test_an_answer_of_which_no_client_knows_is_found(story: Story) -> None:
    story.ledger.entries.remove(story.answers[-1])
    assert breaches(story.findings()) == {Breach.OTHER}


def test_a_server_error_is_found(story: Story) -> None:
    first = next(story.ledger.of(Act.CLAIM))
    story.ledger.note(replace(first, act=Act.HEARTBEAT, status=500))
    assert breaches(story.findings()) == {Breach.OTHER}


def test_figures_that_were_kept_well_have_no_findings(story: Story) -> None:
    assert [*audit_figures(story.db, story.clock)] == []
    counts.fold(story.db)
    assert [*audit_figures(story.db, story.clock)] == []


def test_a_delta_that_was_lost_is_found(story: Story) -> None:
    with story.db.read() as conn:
        last = conn.scalar(sa.select(sa.func.max(CountDelta.id)))
    story.change(sa.delete(CountDelta).where(CountDelta.id == last))
    assert breaches([*audit_figures(story.db, story.clock)]) == {Breach.OTHER}


def test_a_figure_that_was_folded_twice_is_found_also_after_it_was_put_right(story: Story) -> None:
    counts.fold(story.db)
    story.change(sa.update(Count).values(value=Count.value + 1))
    assert breaches([*audit_figures(story.db, story.clock)]) == {Breach.OTHER}
    counts.reconcile(story.db, clock.now())
    with story.db.read() as conn:
        assert counts.differences(conn) == []
    assert breaches([*audit_figures(story.db, story.clock)]) == {Breach.OTHER}


def claim_any(story: Story) -> Lease:
    for stage in dict.fromkeys(task.stage for task in story.engine.open_tasks()):
        for worker in story.engine.people_for(stage):
            lease = story.engine.claim(worker, stage)
            if isinstance(lease, Lease):
                return lease
    raise AssertionError("there is nothing to do")
