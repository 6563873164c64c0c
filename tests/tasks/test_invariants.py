"""What holds whatever many people do in whatever order: the promises, checked after every step.

Hypothesis makes up the interleavings. The machine remembers only what the crowd was told (leases
handed out, tokens spent, answers acknowledged) and holds the database against it.
"""

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.engine import Connection

from crowd.core import clock
from crowd.core.config import Settings
from crowd.core.db import AnyRow, Base, Database
from crowd.core.errors import Conflict, Forbidden, Unprocessable
from crowd.images.history import replay
from crowd.images.models import Image, ImageEvent, ImageState, What
from crowd.policy import Grade, Policy, Stage
from crowd.review import talk
from crowd.review.models import Comment
from crowd.runtime import Runtime, build_runtime
from crowd.tasks import answer_queries, counts, handover, lease_queries, progress, queries, viewing
from crowd.tasks.flow import LABELLING, STAGES, Cause, blame_targets, send_back_targets
from crowd.tasks.leases import QueueState
from crowd.tasks.models import Kind, Standing, Submission, Task, TaskState
from tests.tasks.engine import (
    STYLES,
    Engine,
    Lease,
    actor,
    eager_book,
    later,
    open_database,
    passing,
    rejecting,
)

CREW = {
    Grade.TRAINEE: 1,
    Grade.GENERAL: 2,
    Grade.SEMI_EXPERT: 2,
    Grade.REVIEWER: 2,
    Grade.EXPERT: 5,
    Grade.INSPECTOR: 3,
    Grade.ADMIN: 1,
}

# With one inspector nobody may take the second seat: such work has to be shown as blocked.
SMALL_CREW = {Grade.EXPERT: 2, Grade.INSPECTOR: 1}

Rows: TypeAlias = Sequence[AnyRow]

OPEN = frozenset({TaskState.READY, TaskState.LEASED, TaskState.STUCK, TaskState.ASSIGNED})
TERMINAL = frozenset({ImageState.ACCEPTED, ImageState.REFUSED, ImageState.WITHDRAWN})
KEPT_TABLES = ("alembic_version", "taxonomies")

NUMBERS = st.integers(0, 2**16)


@dataclass
class Told:
    """What the crowd knows: whatever was handed out, taken back and acknowledged."""

    leases: list[Lease] = field(default_factory=list)
    newest: dict[int, Lease] = field(default_factory=dict)
    # Until when the newest lease of a task is its holder's alone.
    live: dict[int, datetime] = field(default_factory=dict)
    spent: set[tuple[int, int]] = field(default_factory=set)
    won_back: set[tuple[int, int]] = field(default_factory=set)
    outcomes: dict[tuple[int, int], str | None] = field(default_factory=dict)
    acknowledged: dict[int, tuple[Lease, Kind]] = field(default_factory=dict)
    reservations: dict[int, int] = field(default_factory=dict)
    # A text that only one second reviewer's verdict or comment holds: whose, image and round.
    marks: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    texts: int = 0


class Crowd(RuleBasedStateMachine):
    """Many people on few images."""

    def __init__(self, opened: Callable[[], Engine]) -> None:
        super().__init__()
        self.engine = opened()
        self.told = Told()
        self.done: dict[Stage, int] = dict.fromkeys(Stage, 0)
        self.seen_state: object = None
        self.ended = False

    @initialize(images=st.integers(2, 4), head_start=st.integers(0, 14), few=st.booleans())
    def begin(self, images: int, head_start: int, few: bool) -> None:
        for grade, count in (CREW | SMALL_CREW if few else CREW).items():
            for _ in range(count):
                self.engine.hire(grade)
        self.people = [person for people in self.engine.crew.values() for person in people]
        self.admin = self.engine.crew[Grade.ADMIN][0]
        self.images = [self.engine.add_image() for _ in range(images)]
        for _ in range(head_start):
            self._goes_on()

    @rule(who=NUMBERS, which=NUMBERS)
    def claim(self, who: int, which: int) -> None:
        self._claim(self._somebody(who, which), self._some_stage(which))

    @rule(who=NUMBERS, stage=st.sampled_from([None, *Stage]))
    def claim_whatever(self, who: int, stage: Stage | None) -> None:
        self._claim(self.people[who % len(self.people)], stage)

    @rule(who=NUMBERS, limit=st.integers(1, 5))
    def claim_batch(self, who: int, limit: int) -> None:
        inspectors = self.engine.crew[Grade.INSPECTOR]
        worker = inspectors[who % len(inspectors)]
        before = self._tasks()
        try:
            given = self.engine.claim_batch(worker, limit)
        except Forbidden:
            assert self._is_out(worker, Stage.SECOND_REVIEW)
            return
        assert len({lease.image_id for lease in given}) == len(given) <= limit
        for lease in given:
            self._handed_out(lease, before)

    @rule()
    def the_process_starts_anew(self) -> None:
        self.engine.book = eager_book()

    @rule(which=NUMBERS, style=st.sampled_from(["pass", "pass", "pass", "reject", "unusable", "unsure"]))
    def answer(self, which: int, style: str) -> None:
        if self.told.leases:
            lease = self._recent(which)
            self._answer(lease, *self._answer_like(lease, style, which))

    @rule(
        who=NUMBERS,
        which=NUMBERS,
        style=st.sampled_from(["pass", "pass", "pass", "reject", "reject", "unusable", "unsure", "back"]),
    )
    def work(self, who: int, which: int, style: str) -> None:
        self._work_as([self._somebody(who, which)], self._some_stage(which), which, style)

    @rule(who=NUMBERS, which=NUMBERS)
    def work_well(self, who: int, which: int) -> None:
        self.work(who, which, "pass")

    @rule(who=NUMBERS, which=NUMBERS, style=st.sampled_from(["reject", "pass"]))
    def review(self, who: int, which: int, style: str) -> None:
        reviews = [task.stage for task in self.engine.open_tasks() if not STAGES[task.stage].labels]
        if reviews:
            people = self.engine.people_for(reviews[which % len(reviews)])
            if people:
                self._work_as([people[who % len(people)]], reviews[which % len(reviews)], which, style)

    @rule(who=NUMBERS, which=NUMBERS)
    def doubt_twice(self, who: int, which: int) -> None:
        """Somebody calls an image unusable and reaches for the second opinion themselves."""
        stages = [task.stage for task in self.engine.open_tasks() if task.stage in LABELLING[:2]]
        if stages:
            stage = stages[which % len(stages)]
            people = self.engine.people_for(stage)
            if people and self._work_as([people[who % len(people)]], stage, which, "unusable"):
                self._work_as([people[who % len(people)]], Stage.SEGMENTATION, which, "unusable")

    @rule(who=NUMBERS, which=NUMBERS, lost=st.sampled_from(["overtaken", "released", "suspended"]))
    def answer_with_what_was_lost(self, who: int, which: int, lost: str) -> None:
        """A lease ends in each of the ways it can, and its former holder answers all the same."""
        worker, stage = self._somebody(who, which), self._some_stage(which)
        lease = self._claim(worker, stage)
        if lease is None:
            return
        if lost == "released":
            self.engine.release(lease)
            self._spend(lease)
        elif lost == "suspended" and worker != self.admin:
            self.engine.suspend(worker)
            self.engine.reinstate(worker)
            for each in self.told.newest.values():
                if each.worker_id == worker and self._is_live(each.task_id):
                    self._spend(each)
        else:
            later(self.engine, self.engine.policy.stages[lease.stage].lease_seconds + 1)
            for other in self.engine.people_for(lease.stage):
                if other != worker and self._claim(other, lease.stage):
                    break
        self._answer(lease, *self._answer_like(lease, "pass", which))

    @rule(who=NUMBERS, which=NUMBERS)
    def quarrel(self, who: int, which: int) -> None:
        """Reviewers and authors cannot agree: an answer is sent back and given again until it is a loop."""
        for style in ("back", "pass") * 2:
            tasks = [task for task in self.engine.open_tasks() if send_back_targets(task.stage)]
            for task in tasks[-1:]:
                self._work_as(list(self.engine.people_for(task.stage)), task.stage, which, style)
            for worker in self.engine.people_for(Stage.SEGMENTATION):
                if style == "back" and self._work_as([worker], None, which, "pass"):
                    break
        loops = self.engine.people_for(Stage.ADJUDICATION)
        if loops:
            self._work_as([loops[who % len(loops)]], Stage.ADJUDICATION, which, "pass")

    @rule(which=NUMBERS)
    def send_back(self, which: int) -> None:
        if self.told.leases:
            lease = self._recent(which)
            if send_back_targets(lease.stage):
                self._answer(lease, *self._answer_like(lease, "back", which))

    @precondition(lambda self: self.told.outcomes)
    @rule(which=NUMBERS)
    def answer_again_with_another_body(self, which: int) -> None:
        task, token = sorted(self.told.outcomes)[which % len(self.told.outcomes)]
        lease = next(each for each in self.told.leases if (each.task_id, each.token) == (task, token))
        body = [{}, None, passing(lease, which), rejecting(), "text"][which % 5]
        kind = list(Kind)[which % 2]
        assert self.engine.answer(lease, body, kind) == self.told.outcomes[task, token]

    @precondition(lambda self: self.told.leases)
    @rule(which=NUMBERS, who=NUMBERS)
    def answer_with_a_token_of_somebody_else(self, which: int, who: int) -> None:
        lease = self._recent(which)
        thief = self.people[who % len(self.people)]
        if thief != lease.worker_id:
            with pytest.raises(Forbidden):
                self.engine.answer(replace(lease, worker_id=thief), passing(lease))

    @precondition(lambda self: self.told.leases)
    @rule(which=NUMBERS)
    def answer_badly(self, which: int) -> None:
        lease = self._recent(which)
        if self._is_good(lease):
            before = self.engine.task(lease.task_id)
            with pytest.raises(Unprocessable):
                self.engine.answer(lease, {"score": 1, "reasons": ["no such reason"]})
            assert self.engine.task(lease.task_id) == before

    @precondition(lambda self: self.told.leases)
    @rule(which=NUMBERS, skip=st.booleans())
    def release(self, which: int, skip: bool) -> None:
        lease = self._recent(which)
        before = self.engine.task(lease.task_id)
        self.engine.release(lease, skip=skip)
        if before.token == lease.token and before.state in (TaskState.LEASED, TaskState.READY):
            self._spend(lease)

    @precondition(lambda self: self.told.leases)
    @rule(which=NUMBERS)
    def heartbeat(self, which: int) -> None:
        lease = self._recent(which)
        key = (lease.task_id, lease.token)
        kept = self._is_good(lease)
        before = self.engine.task(lease.task_id)
        ran_out = before.state is not TaskState.LEASED or before.lease_until <= self.engine.now
        try:
            until = self.engine.heartbeat(lease)
        except (Conflict, Forbidden):
            assert not kept
            return
        assert kept
        assert until > self.engine.now
        self.told.live[lease.task_id] = until
        if ran_out:
            self.told.won_back.add(key)

    @rule(seconds=st.sampled_from([1, 60, 601, 1201, 1801, 1801, 14401]))
    def time_passes(self, seconds: int) -> None:
        later(self.engine, seconds)

    @rule()
    def tidy(self) -> None:
        self.engine.tidy()
        expired = sa.select(Task.id).where(
            Task.state == TaskState.LEASED, Task.lease_until <= self.engine.now
        )
        with self.engine.db.read() as conn:
            assert conn.execute(expired).all() == []

    @rule(who=NUMBERS)
    def suspend(self, who: int) -> None:
        worker = self._not_an_admin(who)
        self.engine.suspend(worker)
        for lease in self.told.newest.values():
            if lease.worker_id == worker and self._is_live(lease.task_id):
                self._spend(lease)
        with self.engine.db.read() as conn:
            assert lease_queries.leases_of(conn, worker, self.engine.now) == []

    @rule(who=NUMBERS)
    def reinstate(self, who: int) -> None:
        self.engine.reinstate(self._not_an_admin(who))

    @rule(who=NUMBERS, grade=st.sampled_from(list(Grade)))
    def regrade(self, who: int, grade: Grade) -> None:
        self.engine.regrade(self._not_an_admin(who), grade)

    @rule(
        which=NUMBERS,
        state=st.sampled_from([ImageState.IN_WORK] * 4 + [ImageState.ACCEPTED] * 2 + sorted(TERMINAL)),
        stage=st.sampled_from(list(Stage)),
    )
    def decide(self, which: int, state: ImageState, stage: Stage) -> None:
        image = self.images[which % len(self.images)]
        before = self.engine.image_state(image)
        try:
            self.engine.decide(self.admin, image, state, stage)
        except (Conflict, Unprocessable):
            assert self.engine.image_state(image) is before
            return
        assert before is not ImageState.WITHDRAWN
        assert self.engine.image_state(image) is state

    @precondition(lambda self: self.told.leases)
    @rule(which=NUMBERS)
    def talk(self, which: int) -> None:
        lease = self._recent(which)
        if not self._is_suspended(lease.worker_id):
            self.engine.say(lease.worker_id, lease.task_id, self._mark(lease))

    @invariant()
    def every_promise_holds(self) -> None:
        with self.engine.db.read() as conn:
            tasks = conn.execute(sa.select(*Task.__table__.columns).order_by(Task.id)).all()
            answers = conn.execute(sa.select(*Submission.__table__.columns).order_by(Submission.id)).all()
            images = conn.execute(sa.select(*Image.__table__.columns)).all()
            events = conn.execute(sa.select(*ImageEvent.__table__.columns).order_by(ImageEvent.id)).all()
            said = conn.execute(sa.select(sa.func.count()).select_from(Comment)).scalar_one()
            _check_holders(tasks, self.told, self.engine.policy, self.engine.now)
            state = (len(answers), len(events), said, [(task.state, task.token) for task in tasks])
            if state == self.seen_state:
                return
            self.seen_state = state
            _check_nobody_reviews_themselves(answers)
            _check_seats(tasks, answers)
            _check_second_opinions(events, tasks, answers)
            _check_no_task_is_lost(images, tasks)
            _check_answers_are_kept(tasks, answers, self.told)
            _check_history(images, events)
            self.done = _check_done_never_falls(conn, self.engine, self.done, answers)
            assert counts.differences(conn) == [], "a kept figure differs from a full count"
            _check_blind_seats(conn, self.engine, self.told.marks, tasks)

    def teardown(self) -> None:
        """A crowd of good will takes every image to its end, or an admin is shown why not."""
        try:
            if hasattr(self, "images") and not self.ended:
                self.ended = True
                for worker in self.people:
                    self.engine.reinstate(worker)
                self._finish()
                self._check_everything_has_ended()
        finally:
            self.engine.db.close()

    def _finish(self) -> None:
        for _ in range(3):
            later(self.engine, self.engine.policy.reserve_seconds + 1)
            self.engine.tidy()
            while self._goes_on():
                continue

    def _goes_on(self) -> bool:
        """Somebody of good will does one task; False when nobody can do any."""
        stages = dict.fromkeys(task.stage for task in self.engine.open_tasks())
        return any(self._work_as([*self.engine.people_for(stage)], stage, 0, "pass") for stage in stages)

    def _check_everything_has_ended(self) -> None:
        with self.engine.db.read() as conn:
            shown: dict[int, list[dict[str, Any]]] = defaultdict(list)
            for kind in progress.Trouble:
                for each in progress.troubles(conn, kind, self.engine.policy, (0, 0), 100):
                    shown[each["image_id"]].append(each)
        for image in self.images:
            if self.engine.image_state(image) not in TERMINAL:
                assert shown[image], f"image {image} waits and nobody is told"
                for trouble in shown[image]:
                    blocked = trouble["kind"] is progress.Trouble.BLOCKED
                    assert not blocked or trouble["blocked_for"], "blocked, but not for which grade"

    def _work_as(self, people: list[int], stage: Stage | None, which: int, style: str) -> bool:
        """The first of `people` who gets a task answers it at once."""
        for worker in people:
            lease = self._claim(worker, stage)
            if lease is not None:
                self._answer(lease, *self._answer_like(lease, style, which))
                return True
        return False

    def _claim(self, worker: int, stage: Stage | None) -> Lease | None:
        before = self._tasks()
        try:
            given = self.engine.claim(worker, stage)
        except Forbidden:
            assert self._is_out(worker, stage)
            return None
        if isinstance(given, QueueState):
            return None
        assert stage in (None, given.stage)
        self._handed_out(given, before)
        with self.engine.db.read() as conn:
            held = lease_queries.held(conn, worker, self.engine.now, batch=False)
        assert held <= self.engine.policy.held_leases, "more leases than one person may hold"
        return given

    def _handed_out(self, lease: Lease, before: dict[int, AnyRow]) -> None:
        task, now = before[lease.task_id], self.engine.now
        assert not self._is_live(lease.task_id), "a task was given to a second holder"
        assert lease.until > now
        reserved = task.reserved_for is not None and task.reserved_until > now
        assert not reserved or task.reserved_for == lease.worker_id, "given to others although reserved"
        assert (lease.task_id, lease.token) not in {(old.task_id, old.token) for old in self.told.leases}
        self.told.leases.append(lease)
        self.told.newest[lease.task_id] = lease
        self.told.live[lease.task_id] = lease.until

    def _answer(self, lease: Lease, result: object, kind: Kind) -> None:
        outlook = self._outlook(lease)
        bystander = self._bystander(lease)
        seen = self._sight(bystander, lease.image_id)
        key = (lease.task_id, lease.token)
        try:
            refused = self.engine.answer(lease, result, kind)
        except Forbidden:
            assert outlook == "suspended"
            return
        except Conflict:
            assert outlook == "lease_lost"
            return
        self.told.outcomes.setdefault(key, refused)
        assert (refused or "stands") == outlook, "the answer met another outcome than it had to"
        if refused is None and lease.task_id not in self.told.acknowledged:
            self.told.acknowledged[lease.task_id] = (lease, kind)
            if lease.stage is Stage.SECOND_REVIEW and len(self._answers_of_pair(lease)) == 1:
                assert self._sight(bystander, lease.image_id) == seen, "a first seat's answer showed"

    def _outlook(self, lease: Lease) -> str:
        """What an answer with this lease must meet: "stands", or the code of its refusal."""
        key = (lease.task_id, lease.token)
        if key in self.told.outcomes:
            return self.told.outcomes[key] or "stands"
        if self._is_suspended(lease.worker_id):
            return "suspended"
        task = self.engine.task(lease.task_id)
        if task.state is TaskState.CLOSED:
            return "superseded"
        overtaken = self.told.newest[lease.task_id].token != lease.token or key in self.told.spent
        if overtaken or task.state is TaskState.DONE or self._sits_beside(lease):
            return "lease_lost"
        return "stands"

    def _is_good(self, lease: Lease) -> bool:
        """Whether the task still waits for an answer with this lease."""
        answered = (lease.task_id, lease.token) in self.told.outcomes
        return not answered and self._outlook(lease) == "stands"

    def _sits_beside(self, lease: Lease) -> bool:
        """Whether the person has another seat of the same stage and round by now."""
        return any(
            task.worker_id == lease.worker_id
            and task.id != lease.task_id
            and (task.image_id, task.stage, task.round) == (lease.image_id, lease.stage, lease.round)
            and task.state in (TaskState.LEASED, TaskState.DONE)
            for task in self._tasks().values()
        )

    def _answer_like(self, lease: Lease, style: str, which: int) -> tuple[dict[str, Any], Kind]:
        labelling = lease.stage in LABELLING
        if style == "back" and send_back_targets(lease.stage):
            targets = [None, *send_back_targets(lease.stage)]
            target = targets[which % len(targets)]
            return {"to": target, "reasons": ["blanket"], "comment": ""}, Kind.SEND_BACK
        if style == "unusable" and labelling:
            return {"unusable": ["collage", "overlap", "not_worn"][which % 3]}, Kind.SUBMIT
        if style == "unsure" and lease.stage is Stage.STYLES:
            return {"styles": [STYLES[which % 4]], "unsure": True}, Kind.SUBMIT
        verdict = not labelling and lease.cause is not Cause.STYLES
        comment = self._mark(lease) if verdict else ""
        if style == "reject" and verdict:
            blames = [None, *blame_targets(lease.stage)]
            return rejecting(blames[which % len(blames)], comment, 1 + which % 3), Kind.SUBMIT
        result = passing(lease, which)
        return result | {"comment": comment} if verdict else result, Kind.SUBMIT

    def _mark(self, lease: Lease) -> str:
        self.told.texts += 1
        mark = f"<mark {self.told.texts}>"
        if lease.stage is Stage.SECOND_REVIEW:
            self.told.marks[mark] = (lease.worker_id, lease.image_id, lease.round)
        return mark

    def _answers_of_pair(self, lease: Lease) -> list[int]:
        pair = (lease.image_id, lease.stage, lease.round)
        given = (each for each, _ in self.told.acknowledged.values())
        return [each.task_id for each in given if (each.image_id, each.stage, each.round) == pair]

    def _bystander(self, lease: Lease) -> int:
        able = [*self.engine.crew[Grade.INSPECTOR], *self.engine.crew[Grade.EXPERT]]
        return next(person for person in able if person != lease.worker_id)

    def _sight(self, worker: int, image: int) -> dict[str, Any]:
        with self.engine.db.read() as conn:
            return viewing.image_view(conn, image, worker, self.engine.now)

    def _tasks(self) -> dict[int, AnyRow]:
        with self.engine.db.read() as conn:
            return {task.id: task for task in conn.execute(sa.select(*Task.__table__.columns))}

    def _recent(self, which: int) -> Lease:
        """One of the leases handed out, mostly one of the last that had no answer yet."""
        told = self.told
        waiting = [each for each in told.leases if (each.task_id, each.token) not in told.outcomes]
        if which % 3 and waiting:
            return waiting[-1 - which % min(4, len(waiting))]
        return told.leases[-1 - which % len(told.leases)]

    def _some_stage(self, which: int) -> Stage | None:
        tasks = self.engine.open_tasks()
        return tasks[which % len(tasks)].stage if tasks else None

    def _somebody(self, who: int, which: int) -> int:
        stage = self._some_stage(which)
        able = (stage and self.engine.people_for(stage)) or self.people
        return able[who % len(able)]

    def _not_an_admin(self, who: int) -> int:
        others = [person for person in self.people if person != self.admin]
        return others[who % len(others)]

    def _spend(self, lease: Lease) -> None:
        self.told.spent.add((lease.task_id, lease.token))
        self.told.live.pop(lease.task_id, None)

    def _is_live(self, task_id: int) -> bool:
        task = self.engine.task(task_id)
        until = self.told.live.get(task_id)
        return until is not None and until > self.engine.now and task.state in OPEN

    def _is_suspended(self, worker: int) -> bool:
        with self.engine.db.read() as conn:
            return bool(queries.lock_worker(conn, worker).barred)

    def _is_out(self, worker: int, stage: Stage | None) -> bool:
        with self.engine.db.read() as conn:
            me = actor(conn, worker)
        return me.suspended or (stage is not None and me.grade not in self.engine.policy.stages[stage].grades)


def _check_holders(tasks: Rows, told: Told, policy: Policy, now: datetime) -> None:
    leased = [task for task in tasks if task.state is TaskState.LEASED and task.lease_until > now]
    for task in leased:
        assert told.newest[task.id].worker_id == task.worker_id, "somebody else than the last claimant holds"
        assert told.newest[task.id].token == task.token
        assert (task.id, task.token) not in told.spent
    plain = Counter(
        task.worker_id
        for task in leased
        # A heartbeat may win an expired lease back beyond the cap: the contract promises it.
        if not task.batch and (task.id, task.token) not in told.won_back
    )
    batch = Counter(task.worker_id for task in leased if task.batch)
    assert max(plain.values(), default=0) <= policy.held_leases
    assert max(batch.values(), default=0) <= policy.batch_leases


def _check_nobody_reviews_themselves(answers: Rows) -> None:
    labelled: dict[tuple[int, int], bool] = defaultdict(bool)
    judged: dict[tuple[int, int], set[Stage]] = defaultdict(set)
    for answer in answers:
        if answer.standing is not Standing.COUNTED or answer.kind is not Kind.SUBMIT:
            continue
        who = (answer.image_id, answer.worker_id)
        if "score" in answer.result:
            judged[who].add(answer.stage)
        else:
            labelled[who] = True
    for who, stages in judged.items():
        assert not labelled[who], f"person {who[1]} labelled image {who[0]} and gave a verdict on it"
        assert len(stages) == 1, f"person {who[1]} gave verdicts at {stages} of image {who[0]}"


def _check_seats(tasks: Rows, answers: Rows) -> None:
    people: dict[tuple[int, Stage, int], list[int]] = defaultdict(list)
    for answer in answers:
        if answer.standing is Standing.COUNTED:
            people[answer.image_id, answer.stage, answer.round].append(answer.worker_id)
    for (_, stage, _), workers in people.items():
        assert len(workers) == len(set(workers)), f"one person sat twice in one round of {stage}"
        assert len(workers) <= (2 if stage is Stage.SECOND_REVIEW else 5 if stage is Stage.STYLES else 1)
    holders: dict[tuple[int, Stage, int], list[int]] = defaultdict(list)
    for task in tasks:
        if task.state in (TaskState.LEASED, TaskState.DONE):
            holders[task.image_id, task.stage, task.round].append(task.worker_id)
    assert all(len(workers) == len(set(workers)) for workers in holders.values())


def _check_second_opinions(events: Rows, tasks: Rows, answers: Rows) -> None:
    counted = {each.task_id: each.worker_id for each in answers if each.standing is Standing.COUNTED}
    second = {
        (task.image_id, task.round): counted.get(task.id)
        for task in tasks
        if task.cause is Cause.SECOND_OPINION
    }
    for event in events:
        if event.what is What.SECOND_OPINION:
            other = second[event.image_id, event.round]
            assert other != counted[event.task_id], "a second opinion came from the same person"


def _check_no_task_is_lost(images: Rows, tasks: Rows) -> None:
    by_image: dict[int, list[AnyRow]] = defaultdict(list)
    for task in tasks:
        by_image[task.image_id].append(task)
    for image in images:
        unfinished = [task for task in by_image[image.id] if task.state in OPEN]
        if image.state is not ImageState.IN_WORK:
            assert not unfinished, f"image {image.id} is {image.state} and has open tasks"
            continue
        assert unfinished, f"image {image.id} is in work and nobody can go on with it"
        assert len({task.stage for task in unfinished}) == 1
        assert {task.round for task in unfinished} == {image.round}, "an open task of an earlier round"
        stage = unfinished[0].stage
        seats = [
            task
            for task in by_image[image.id]
            if task.stage is stage and task.round == image.round and task.state is not TaskState.CLOSED
        ]
        if STAGES[stage].seats == 2:
            assert len(seats) == 2
        else:
            assert len(unfinished) == 1


def _check_answers_are_kept(tasks: Rows, answers: Rows, told: Told) -> None:
    counted = {answer.task_id: answer for answer in answers if answer.standing is Standing.COUNTED}
    assert len(counted) == sum(answer.standing is Standing.COUNTED for answer in answers)
    assert (
        counted.keys()
        == told.acknowledged.keys()
        == {task.id for task in tasks if task.state is TaskState.DONE}
    )
    for task_id, (lease, kind) in told.acknowledged.items():
        kept = counted[task_id]
        assert (kept.token, kept.worker_id, kept.kind) == (lease.token, lease.worker_id, kind)


def _check_history(images: Rows, events: Rows) -> None:
    happened: dict[int, list[What]] = defaultdict(list)
    for event in events:
        happened[event.image_id].append(event.what)
    for image in images:
        assert replay(happened[image.id]) == (image.state, image.round)


def _check_done_never_falls(
    conn: Connection, engine: Engine, before: dict[Stage, int], answers: Rows
) -> dict[Stage, int]:
    figures = progress.progress(conn, engine.policy, engine.now)
    done = {stage: figures[stage].done for stage in Stage}
    assert all(done[stage] >= before[stage] for stage in Stage)
    counted = Counter(each.stage for each in answers if each.standing is Standing.COUNTED)
    assert done == {stage: counted[stage] for stage in Stage}
    return done


def _check_blind_seats(
    conn: Connection, engine: Engine, marks: dict[str, tuple[int, int, int]], tasks: Rows
) -> None:
    """Nobody but the author and uninvolved admins sees a verdict or a comment of an undecided pair."""
    undecided = {
        (task.image_id, task.round)
        for task in tasks
        if task.state in OPEN and (task.stage is Stage.SECOND_REVIEW or task.cause is Cause.SPLIT)
    }
    for pair in undecided:
        hidden = {mark: owner for mark, (owner, *of) in marks.items() if tuple(of) == pair}
        if not hidden:
            continue
        on_image = [task for task in tasks if task.image_id == pair[0]]
        seats = [task for task in on_image if task.stage is Stage.SECOND_REVIEW]
        both_in = all(task.state not in OPEN for task in seats)
        # Once both are in, whoever sat may know of it; the adjudicator to come may not.
        told = {task.worker_id for task in seats if both_in and task.state is TaskState.DONE}
        for viewer in _watchers(engine, on_image) - told:
            shown = json.dumps(_everything_shown(conn, viewer, pair[0], on_image), default=str)
            for mark, owner in hidden.items():
                assert owner == viewer or mark not in shown, f"{viewer} sees what {owner} said of {pair}"


def _watchers(engine: Engine, on_image: Rows) -> set[int]:
    """Who might look: inspectors, an expert, and everybody with a hand in the image."""
    hands = {task.worker_id for task in on_image if task.worker_id is not None}
    return {*engine.crew[Grade.INSPECTOR], engine.crew[Grade.EXPERT][0], *hands}


def _everything_shown(conn: Connection, viewer: int, image: int, on_image: Rows) -> list[Any]:
    shown: list[Any] = [viewing.image_view(conn, image, viewer, clock.now())]
    me = actor(conn, viewer)
    if me.is_admin and not answer_queries.has_part(conn, image, viewer):
        return []
    for task in on_image:
        if task.state is TaskState.LEASED and task.worker_id == viewer:
            shown.append(handover.task_view(conn, task))
        try:
            shown.append(talk.listen(conn, me, task.id))
        except Forbidden:
            continue
    return shown


@pytest.fixture(scope="module")
def bare_runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    """A runtime whose database is put in by each example."""
    folder = tmp_path_factory.mktemp("runtime")
    built = build_runtime(
        Settings(
            data_dir=folder,
            database_url=f"sqlite:///{folder / 'unused.sqlite'}",
            redis_url=None,
            storage=str(folder / "storage"),
            secret_key="only for tests",
        )
    )
    # A lower cap, so that quarrels get to their adjudication within one example.
    return replace(built, policy=replace(built.policy, bounce_cap=2))


@pytest.fixture
def opened(database_url: str, bare_runtime: Runtime, tmp_path: Path) -> Iterator[Callable[[], Engine]]:
    """Gives an engine on an empty database, each time anew."""
    if not database_url.startswith("sqlite"):
        yield lambda: Engine(replace(bare_runtime, db=_emptied(database_url)))
        return
    template = Path(database_url.removeprefix("sqlite:///"))
    Engine(replace(bare_runtime, db=Database(database_url))).db.close()
    used = tmp_path / "used.sqlite"

    def copied() -> Engine:
        for path in (used, used.with_suffix(".sqlite-wal"), used.with_suffix(".sqlite-shm")):
            path.unlink(missing_ok=True)
        shutil.copyfile(template, used)
        return Engine(replace(bare_runtime, db=open_database(f"sqlite:///{used}")))

    yield copied


def _emptied(url: str) -> Database:
    database = open_database(url)
    names = ", ".join(sorted(Base.metadata.tables.keys() - set(KEPT_TABLES)))
    with database.begin() as conn:
        conn.execute(sa.text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    return database


def test_no_interleaving_breaks_a_promise(opened: Callable[[], Engine], database_url: str) -> None:
    examples = 20 if database_url.startswith("sqlite") else 8
    chosen = settings(
        max_examples=examples,
        stateful_step_count=40,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    factory = partial(Crowd, opened)
    run_state_machine_as_test(factory, settings=chosen)  # type: ignore[arg-type]  # a factory serves too
