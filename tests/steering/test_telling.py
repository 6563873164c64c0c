"""Figures told from the history: the same however, whenever and by whomever they are told."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from crowd.accounts import groups
from crowd.accounts.models import GroupKind
from crowd.core.db import Database
from crowd.images.models import ImageState
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.steering import telling
from crowd.steering.models import (
    AgreementWeek,
    Basis,
    ErrorDay,
    FixDay,
    ImageDay,
    StyleDay,
    SupplierAgreementWeek,
    Untold,
    WorkDay,
)
from crowd.tasks.models import Kind
from tests.races.contest import together
from tests.tasks.engine import Engine, Lease, later, open_database, passing, rejecting
from tests.tasks.test_counts import wander

CREW = {Grade.GENERAL: 3, Grade.REVIEWER: 2, Grade.EXPERT: 4, Grade.INSPECTOR: 3, Grade.ADMIN: 1}


@pytest.fixture
def engine(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A crowd on four images."""
    made = Engine(replace(rt, db=open_database(rt.db.url), policy=replace(rt.policy, bounce_cap=3)))
    monkeypatch.setattr(groups, "now", lambda: made.now)
    for grade, count in CREW.items():
        for _ in range(count):
            made.hire(grade)
    for _ in range(4):
        made.add_image()
    yield made
    made.db.close()


def kept(db: Database) -> dict[str, Any]:
    """Every kept figure that is not zero, by table and key."""
    found: dict[str, Any] = {}
    with db.read() as conn:
        for table in telling.TABLES:
            keys = [column.name for column in table.__table__.primary_key]
            rows = [row._asdict() for row in conn.execute(sa.select(*table.__table__.columns))]
            found[table.__tablename__] = {
                tuple(row.pop(key) for key in keys): {name: value for name, value in row.items() if value}
                for row in rows
            }
    return {name: {key: sums for key, sums in rows.items() if sums} for name, rows in found.items()}


def rows_of(db: Database, table: Any) -> list[Any]:
    with db.read() as conn:
        return list(conn.execute(sa.select(*table.__table__.columns)).all())


def total(db: Database, table: Any, name: str, **where: Any) -> int:
    matching = [row for row in rows_of(db, table) if all(getattr(row, key) == where[key] for key in where)]
    return sum(getattr(row, name) for row in matching)


def live(engine: Engine, seed: int) -> None:
    """Some days of whatever comes to people's minds, with groups that they join and leave."""
    chance = random.Random(seed)
    people = [person for crew in engine.crew.values() for person in crew]
    with engine.db.begin() as conn:
        kinds = (GroupKind.SCHOOL, GroupKind.INSTITUTE)
        made = [groups.found(conn, kind, f"{kind} {seed}", by=None).id for kind in kinds]
    for part in range(3):
        wander(engine, 100 * seed + part, 30)
        with engine.db.begin() as conn:
            groups.join(conn, chance.choice([*made, None]), chance.sample(people, 4), by=None, reason="")
        later(engine, 86_400)
        if part == 1:
            telling.tell(engine.db, batch=chance.choice([1, 7, 200]))


@pytest.mark.parametrize("seed", range(2))
def test_a_rebuild_equals_what_was_told_as_it_happened(engine: Engine, seed: int) -> None:
    live(engine, seed)
    assert telling.tell(engine.db) > 5
    as_it_happened = kept(engine.db)
    assert as_it_happened["work_days"]
    assert as_it_happened["error_days"]
    pairs = total(engine.db, AgreementWeek, "weight", earlier=True)
    assert total(engine.db, AgreementWeek, "weight", earlier=False) == pairs
    assert total(engine.db, SupplierAgreementWeek, "weight") == pairs
    telling.start_over(engine.db)
    assert not any(kept(engine.db).values())
    assert telling.retell(engine.db, page=13) > 20
    assert kept(engine.db) == as_it_happened


def test_what_happens_while_history_is_retold_counts_once(engine: Engine) -> None:
    live(engine, 7)
    telling.start_over(engine.db)
    telling.retell(engine.db, most=1, page=10)
    wander(engine, 8, 40)
    telling.tell(engine.db)
    telling.retell(engine.db, most=1, page=10)
    wander(engine, 9, 20)
    telling.retell(engine.db)
    telling.tell(engine.db)
    found = kept(engine.db)
    telling.start_over(engine.db)
    telling.retell(engine.db)
    assert kept(engine.db) == found


def test_two_who_tell_at_once_tell_each_row_once(engine: Engine) -> None:
    live(engine, 3)
    others = [engine.again(), engine.again()]
    told = together(*(lambda db=each.db: telling.tell(db, batch=5) for each in others))
    for each in others:
        each.db.close()
    assert sum(count for count in told if isinstance(count, int)) > 5
    assert rows_of(engine.db, Untold) == []
    found = kept(engine.db)
    telling.start_over(engine.db)
    telling.retell(engine.db)
    assert kept(engine.db) == found


def test_a_bounce_counts_for_its_author_on_the_day_of_the_answer(engine: Engine) -> None:
    engine.clear()
    image = engine.image_at(Stage.FIRST_REVIEW)
    day = engine.now.date()
    author = next(task.worker_id for task in engine.tasks_of(image) if task.stage is Stage.ATTRIBUTES)
    later(engine, 3 * 86_400)
    reviewer = engine.people_for(Stage.FIRST_REVIEW)
    lease = next(
        found for who in reviewer if isinstance(found := engine.claim(who, Stage.FIRST_REVIEW), Lease)
    )
    assert engine.answer(lease, rejecting(Stage.ATTRIBUTES)) is None
    telling.tell(engine.db)
    [row] = [row for row in rows_of(engine.db, WorkDay) if row.bounced]
    assert (row.worker_id, row.stage, row.day, row.answers) == (author, Stage.ATTRIBUTES, day, 1)
    [error] = rows_of(engine.db, ErrorDay)
    assert (error.worker_id, error.code, error.day, error.bounces) == (author, "missing", day, 1)
    assert total(engine.db, WorkDay, "rejected", worker_id=lease.worker_id) == 1


def test_a_correction_says_who_fixed_whose_answer(engine: Engine) -> None:
    engine.clear()
    image = engine.image_at(Stage.STYLES)
    author = next(task.worker_id for task in engine.tasks_of(image) if task.stage is Stage.ATTRIBUTES)
    expert = engine.claim(engine.crew[Grade.EXPERT][0])
    assert isinstance(expert, Lease)
    engine.answer(expert, {"to": None, "reasons": ["blanket"], "comment": ""}, Kind.SEND_BACK)
    later(engine, 86_400)
    engine.tidy()
    fixer = next(who for who in engine.crew[Grade.GENERAL] if who != author)
    lease = engine.claim(fixer, Stage.ATTRIBUTES)
    assert isinstance(lease, Lease)
    better = passing(lease)
    for values in better["regions"].values():
        values["color"] = "black"
    assert engine.answer(lease, better) is None
    telling.tell(engine.db)
    [fix] = rows_of(engine.db, FixDay)
    assert (fix.fixer_id, fix.author_id, fix.stage, fix.fixed, fix.changed) == (
        fixer,
        author,
        Stage.ATTRIBUTES,
        1,
        1,
    )
    former = [row for row in rows_of(engine.db, WorkDay) if row.worker_id == author and row.revised]
    # One of two attributes stayed as it was.
    assert [(row.revised, row.kept) for row in former] == [(1, 500_000)]
    weeks = rows_of(engine.db, AgreementWeek)
    color = [row for row in weeks if row.variable == "color" and row.earlier]
    assert [(row.a, row.b, row.basis, row.weight) for row in color] == [
        ("", "black", Basis.REVISION, telling.UNIT)
    ]


def test_three_experts_weigh_as_one_question(engine: Engine) -> None:
    engine.clear()
    image = engine.image_at(Stage.STYLES)
    for expert, style in zip(engine.crew[Grade.EXPERT], ("street", "resort", "street"), strict=False):
        lease = engine.claim(expert, Stage.STYLES)
        assert isinstance(lease, Lease)
        assert lease.image_id == image
        engine.answer(lease, {"styles": [style], "unsure": True})
        telling.tell(engine.db)
    cells = [row for row in rows_of(engine.db, AgreementWeek) if row.basis is Basis.INDEPENDENT]
    # Of three answers each weighs one: 1/2 against each of the two others.
    assert sum(row.weight for row in cells) == 3 * telling.UNIT
    assert {(row.a, row.b): row.weight for row in cells if row.earlier} == {
        ("street", "resort"): telling.UNIT // 2,
        ("resort", "street"): telling.UNIT // 2,
        ("street", "street"): telling.UNIT // 2,
    }
    assert total(engine.db, StyleDay, "agreed", style="street") == 1
    assert total(engine.db, StyleDay, "disagreed", style="street") == 2
    assert total(engine.db, WorkDay, "compared") == 6
    assert total(engine.db, WorkDay, "likeness") == 2_000_000


def test_an_acceptance_that_is_taken_back_no_longer_counts(engine: Engine) -> None:
    engine.clear()
    image = engine.image_at(Stage.SECOND_REVIEW)
    while engine.open_tasks(image):
        assert engine.pass_one()
    telling.tell(engine.db)
    assert total(engine.db, ImageDay, "accepted") == 1
    assert total(engine.db, StyleDay, "accepted", style="street") == 1
    engine.decide(engine.crew[Grade.ADMIN][0], image, ImageState.IN_WORK, Stage.STYLES)
    later(engine, 86_400)
    telling.tell(engine.db)
    assert total(engine.db, ImageDay, "accepted") == 0
    assert total(engine.db, StyleDay, "accepted") == 0
    assert total(engine.db, ImageDay, "reopened") == 1


def test_an_answer_counts_for_the_group_its_author_was_in_then(engine: Engine) -> None:
    engine.clear()
    person = engine.crew[Grade.GENERAL][0]
    with engine.db.begin() as conn:
        one = groups.found(conn, GroupKind.SCHOOL, "Hill School", by=None).id
        other = groups.found(conn, GroupKind.CROWD, "Evening crowd", by=None).id
    for group, answers in ((None, 1), (one, 2), (other, 3)):
        later(engine, 60)
        if group:
            with engine.db.begin() as conn:
                assert groups.join(conn, group, [person], by=None, reason="moved") == 1
        for _ in range(answers):
            later(engine, 60)
            engine.add_image()
            lease = engine.claim(person, Stage.SEGMENTATION)
            assert isinstance(lease, Lease)
            assert engine.answer(lease, passing(lease)) is None
    telling.tell(engine.db)
    found = {row.group_id: row.answers for row in rows_of(engine.db, WorkDay)}
    assert found == {0: 1, one: 2, other: 3}


def test_weeks_begin_on_mondays_also_around_new_year(engine: Engine) -> None:
    day = engine.now.replace(year=2027, month=1, day=1)
    assert telling.monday(day).isoformat() == "2026-12-28"
    assert telling.monday(day + timedelta(days=3)).isoformat() == "2027-01-04"
