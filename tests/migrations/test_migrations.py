"""The migrations lead to what the models say, there and back, on both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from crowd import models
from crowd.core.db import Base, Database
from crowd.core.migrate import downgrade, upgrade
from crowd.gold.models import GoldEvent, GoldItem, Step
from crowd.policy import Grade
from crowd.runtime import Runtime
from tests.tasks.engine import Engine

assert models  # importing it registers every table

APPEND_ONLY = ("claims", "comments", "grade_events", "image_events", "labels", "submissions")

# Up to here an image could be gold at a stage more than once.
BEFORE_ONE_ITEM = "0025"

CATALOGUE = {
    "sqlite": {
        "indexes": "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
        "triggers": "SELECT sql FROM sqlite_master WHERE type = 'trigger'",
    },
    "postgresql": {
        "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "triggers": "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    },
}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


def test_the_migrated_schema_is_the_models(database: Database) -> None:
    with database.read() as conn:
        options = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(conn, opts=options), Base.metadata) == []


def test_down_leaves_nothing_and_up_again_everything(database: Database) -> None:
    before = _shape(database)
    assert before["tables"]
    database.close()
    downgrade(database.url)
    assert _shape(database)["tables"] == {"alembic_version"}
    assert _shape(database)["triggers"] == set()
    database.close()
    upgrade(database.url)
    assert _shape(database) == before


def test_an_upgrade_of_what_is_up_to_date_changes_nothing(database: Database) -> None:
    before = _shape(database)
    database.close()
    upgrade(database.url)
    assert _shape(database) == before


def test_down_and_up_work_with_rows_in_the_tables(rt: Runtime) -> None:
    engine = Engine(rt)
    engine.hire(Grade.GENERAL)
    engine.add_image()
    assert engine.pass_one()
    rt.db.close()
    downgrade(rt.db.url)
    upgrade(rt.db.url)
    with rt.db.read() as conn:
        assert conn.execute(sa.text("SELECT count(*) FROM tasks")).scalar_one() == 0


def test_of_several_gold_items_of_an_image_and_stage_the_newest_stays_in_the_pool(rt: Runtime) -> None:
    engine = Engine(rt)
    image = engine.add_image()
    rt.db.close()
    downgrade(rt.db.url, BEFORE_ONE_ITEM)
    with rt.db.begin() as conn:
        taxonomy = conn.execute(sa.text("SELECT max(id) FROM taxonomies")).scalar_one()
        items = [(1, 0, True), (2, 0, True), (3, 0, False), (4, 1, True)]
        for gold_id, stage, active in items:
            conn.execute(
                sa.text(
                    "INSERT INTO gold_items"
                    " (id, image_id, stage, taxonomy_id, labels, answer, origin, active, place, created_at)"
                    " VALUES (:id, :image, :stage, :taxonomy, '{}', '{}', 1, :active, 0, '2026-03-02')"
                ),
                {"id": gold_id, "image": image, "stage": stage, "taxonomy": taxonomy, "active": active},
            )
    rt.db.close()
    upgrade(rt.db.url)
    with rt.db.read() as conn:
        kept = conn.execute(sa.select(GoldItem.id).where(GoldItem.active)).scalars().all()
        told = conn.execute(sa.select(GoldEvent.gold_id, GoldEvent.step, GoldEvent.at)).all()
    assert sorted(kept) == [2, 4]
    assert [(each.gold_id, each.step) for each in told] == [(1, Step.RETIRED)]
    assert abs(told[0].at - datetime.now(UTC)) < timedelta(minutes=5)


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_history_can_be_added_to_and_not_changed(rt: Runtime, table: str) -> None:
    _live_a_little(Engine(rt))
    with rt.db.read() as conn:
        assert conn.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one() > 0
    column = next(iter(Base.metadata.tables[table].primary_key.columns)).name
    for change in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), rt.db.begin() as conn:
            conn.execute(sa.text(change))


def _live_a_little(engine: Engine) -> None:
    person = engine.hire(Grade.GENERAL)
    engine.regrade(person, Grade.REVIEWER)
    image = engine.add_image()
    assert engine.pass_one()
    engine.say(person, engine.tasks_of(image)[0].id, "done")


def _shape(database: Database) -> dict[str, set[str]]:
    """Every table, column, index, constraint and trigger, as text."""
    inspector = sa.inspect(database.engine)
    tables = set(inspector.get_table_names())
    shape = {
        "tables": tables,
        "columns": {f"{each}: {column}" for each in tables for column in inspector.get_columns(each)},
        "unique": {f"{each}: {one}" for each in tables for one in inspector.get_unique_constraints(each)},
        "checks": {f"{each}: {one}" for each in tables for one in inspector.get_check_constraints(each)},
        "keys": {f"{each}: {one}" for each in tables for one in inspector.get_foreign_keys(each)},
    }
    with database.read() as conn:
        for kind, statement in CATALOGUE[conn.dialect.name].items():
            shape[kind] = set(conn.execute(sa.text(statement)).scalars())
    return shape
