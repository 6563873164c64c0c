"""A crowd on a database, and a second and third process's connections to it."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace

import pytest

from crowd.policy import Grade
from crowd.runtime import Runtime
from tests.tasks.engine import Engine, open_database

CREW = {
    Grade.GENERAL: 2,
    Grade.SEMI_EXPERT: 1,
    Grade.REVIEWER: 1,
    Grade.EXPERT: 2,
    Grade.INSPECTOR: 4,
    Grade.ADMIN: 1,
}


class Crowd:
    """One engine with its crew, and as many others on the same database as are asked for."""

    def __init__(self, engine: Engine, stack: ExitStack) -> None:
        self.engine = engine
        self.stack = stack
        self._others: list[Engine] = []

    def engines(self, count: int) -> list[Engine]:
        """Engines with connections of their own, at the present time of the first one."""
        while len(self._others) < count:
            other = self.engine.again()
            self.stack.enter_context(closing(other.db))
            self._others.append(other)
        for other in self._others:
            other.now = self.engine.now
        return self._others[:count]


@pytest.fixture
def crowd(rt: Runtime) -> Iterator[Crowd]:
    """People of every grade, no image yet."""
    with ExitStack() as stack:
        engine = Engine(replace(rt, db=open_database(rt.db.url)))
        stack.enter_context(closing(engine.db))
        for grade, count in CREW.items():
            for _ in range(count):
                engine.hire(grade)
        yield Crowd(engine, stack)
