"""One application a database for all scenarios; each test finds it empty.

Making an application and a database takes far longer than a scenario, so both are made once and
the database is emptied: SQLite's file is put back, PostgreSQL's filled tables are emptied.
"""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask

from crowd.app import create_app
from crowd.core import clock
from crowd.core.config import Settings
from crowd.core.db import Base
from crowd.core.migrate import upgrade
from crowd.runtime import Runtime, build_runtime
from crowd.tasks.marks import book_of
from crowd.tasks.taxonomies import shelf
from crowd.wiring import wire
from tests.conftest import DATABASES, Migrated
from tests.scenarios.people import Clock, Crew
from tests.servers import Postgres, spare_the_disk

_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Place:
    """An application on its database, and how to empty that."""

    rt: Runtime
    app: Flask
    empty: Callable[[], None]


@pytest.fixture(scope="session")
def sqlite_place(
    sqlite_template: Path, redis_server: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("scenarios")
    path, fresh = folder / "crowd.sqlite", folder / "fresh.sqlite"
    shutil.copyfile(sqlite_template, path)
    rt = _runtime(f"sqlite:///{path}", redis_server, folder)
    app = create_app(rt=rt, environ={})
    shelf(rt).present_id()
    rt.db.close()
    shutil.copyfile(path, fresh)

    def empty() -> None:
        rt.db.close()
        for leftover in folder.glob("crowd.sqlite-*"):
            leftover.unlink()
        shutil.copyfile(fresh, path)

    yield Place(rt, app, empty)
    rt.db.close()


@pytest.fixture(scope="session")
def postgresql_place(
    postgres: Postgres, process_name: str, redis_server: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    # Another folder that borrows this fixture has one of its own.
    name = f"crowd_scenarios_{process_name}_{os.getpid()}_{next(_NUMBERS)}"
    url = "postgresql+psycopg://" + postgres.create_database(name).removeprefix("postgresql://")
    upgrade(url)
    rt = _runtime(url, redis_server, tmp_path_factory.mktemp("scenarios"))
    app = create_app(rt=rt, environ={})
    shelf(rt).present_id()
    # The taxonomy stays: a running application has stored it once and knows its id.
    database = Migrated(postgres, name, [table for table in Base.metadata.tables if table != "taxonomies"])

    def empty() -> None:
        rt.db.close()
        database.empty()

    yield Place(rt, app, empty)
    rt.db.close()
    database.drop()


@pytest.fixture(params=DATABASES)
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(f"{request.param}_place")
    found.empty()
    # Hooks belong to the process: another test's application has hung its own since, and what they remember
    # (no audit under way, gold that is due) is no matter of this test.
    wire(found.rt)
    book_of(found.rt.db).forget_all()
    return found


@pytest.fixture
def crew(place: Place, monkeypatch: pytest.MonkeyPatch) -> Crew:
    """An empty project, and its clock."""
    moved = Clock()
    monkeypatch.setattr(clock, "now", moved.now)
    place.app.testing = True
    return Crew(place.rt, place.app, moved)


def _runtime(url: str, redis_url: str | None, folder: Path) -> Runtime:
    data_dir = folder / "data"
    data_dir.mkdir()
    rt = build_runtime(
        Settings(
            data_dir=data_dir,
            database_url=url,
            redis_url=redis_url,
            storage=str(data_dir / "storage"),
            secret_key="only for tests",
            requests_per_minute=1_000_000,
        )
    )
    spare_the_disk(rt.db)
    return rt
