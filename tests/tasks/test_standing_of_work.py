"""What stays as it was: the taxonomy of a claim, a withdrawal, an erasure, the reasons of a dispute."""

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from crowd.accounts.models import Worker
from crowd.core import clock
from crowd.core.db import Database
from crowd.core.errors import Forbidden, Unprocessable
from crowd.images.history import Happening, record
from crowd.images.models import Image, ImageState, Rights, What
from crowd.images.service import Delivery, keep_original, prepare, take_file
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tasks import handover
from crowd.tasks.models import Label
from crowd.tasks.queries import task_row
from crowd.taxonomy import Taxonomy, parse_taxonomy
from crowd.wiring import wire
from tests.tasks.engine import Engine, Lease, rejecting


def without_style(taxonomy: Taxonomy, key: str) -> Taxonomy:
    """The same taxonomy in a later version that lacks a style."""
    document = taxonomy.document
    document["styles"] = [style for style in document["styles"] if style["key"] != key]
    return parse_taxonomy(document)


def claimed(engine: Engine, worker_id: int) -> Lease:
    lease = engine.claim(worker_id)
    assert isinstance(lease, Lease)
    return lease


def test_a_task_keeps_the_taxonomy_it_was_claimed_under(rt: Runtime) -> None:
    before = Engine(rt)
    before.hire(Grade.GENERAL)
    expert = before.hire(Grade.EXPERT)
    before.image_at(Stage.STYLES)
    lease = claimed(before, expert)
    after = Engine(
        replace(rt, db=Database(rt.db.url), taxonomy=without_style(rt.taxonomy, "punk")), before.now
    )
    after.crew = before.crew
    assert after.taxonomy_id != before.taxonomy_id
    # Claimed before the change: the style that is gone by now still counts.
    assert after.answer(lease, {"styles": ["punk"]}) is None
    with rt.db.read() as conn:
        labels = sa.select(Label.taxonomy_id).where(Label.stage == Stage.STYLES)
        assert conn.execute(labels).scalar_one() == before.taxonomy_id
    after.image_at(Stage.STYLES)
    with pytest.raises(Unprocessable) as refused:
        after.answer(claimed(after, expert), {"styles": ["punk"]})
    assert refused.value.errors is not None
    assert list(refused.value.errors) == ["result.styles.0"]
    after.db.close()


def test_a_withdrawn_image_that_proves_unreadable_stays_withdrawn(rt: Runtime) -> None:
    wire(rt)
    kept = keep_original(rt, b"no picture at all")
    with rt.db.begin() as conn:
        taken = take_file(conn, rt.policy, kept, Delivery("Shop", "a.jpg", Rights.OWNED), None)
    with rt.db.begin() as conn:
        record(conn, taken.image_id, Happening(What.WITHDRAWN), clock.now())
    assert prepare(rt) == 1
    with rt.db.read() as conn:
        row = conn.execute(sa.select(Image.state, Image.prepare_after)).one()
    assert (row.state, row.prepare_after) == (ImageState.WITHDRAWN, None)


def test_somebody_erased_in_the_same_moment_gets_no_lease(rt: Runtime) -> None:
    engine = Engine(rt)
    person = engine.hire(Grade.GENERAL)
    engine.add_image()
    with rt.db.begin() as conn:
        conn.execute(sa.update(Worker).where(Worker.id == person).values(erased_at=engine.now))
    with pytest.raises(Forbidden):
        engine.claim(person)


def test_a_dispute_of_the_first_round_shows_its_reasons(rt: Runtime) -> None:
    engine = Engine(replace(rt, policy=replace(rt.policy, bounce_cap=1)))
    for grade in (Grade.GENERAL, Grade.EXPERT):
        engine.hire(grade)
    reviewer, judge = engine.hire(Grade.REVIEWER), engine.hire(Grade.INSPECTOR)
    engine.image_at(Stage.FIRST_REVIEW)
    engine.now += timedelta(seconds=1)
    assert engine.answer(claimed(engine, reviewer), rejecting(Stage.STYLES, "not punk at all")) is None
    lease = claimed(engine, judge)
    assert (lease.stage, lease.round) == (Stage.ADJUDICATION, 1)
    with rt.db.read() as conn:
        task = task_row(conn, lease.task_id)
        assert task is not None
        (piece,) = handover.feedback_view(conn, task)
    assert (piece["comment"], piece["reasons"]) == ("not punk at all", ["missing"])
