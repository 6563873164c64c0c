"""Places of an installation: a database, a data dir, and the command line that works on both."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from crowd.cli import main
from crowd.core.config import Settings, load_settings
from crowd.runtime import Runtime, build_runtime
from tests.conftest import Migrated
from tests.servers import Postgres

VARIABLES = ("DATABASE_URL", "REDIS_URL", "CROWD_DATA_DIR", "CROWD_STORAGE", "CROWD_SECRET_KEY")


@dataclass(frozen=True)
class Place:
    """An installation."""

    url: str
    data_dir: Path

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs to find it."""
        place = {"DATABASE_URL": self.url, "CROWD_DATA_DIR": str(self.data_dir)}
        return {**place, "CROWD_GOLD_SHARE": "0"}

    @property
    def settings(self) -> Settings:
        """Its settings."""
        return load_settings(self.environ)

    def crowd(self, *words: str | Path, **environ: str) -> Result:
        """Run a command in this process."""
        return CliRunner().invoke(main, [str(word) for word in words], env={**self.environ, **environ})

    def spawn(self, *words: str | Path) -> "subprocess.Popen[str]":
        """Start a command as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "crowd", *map(str, words)],
            env={**environ_without_places(), **self.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextlib.contextmanager
    def opened(self) -> Iterator[Runtime]:
        """Its runtime for the time of the block."""
        rt = build_runtime(self.settings)
        try:
            yield rt
        finally:
            rt.db.close()


MakePlace: TypeAlias = Callable[[], Place]


def environ_without_places() -> dict[str, str]:
    """This process's environment without what points at an installation."""
    return {name: value for name, value in os.environ.items() if name not in VARIABLES}


@contextlib.contextmanager
def places(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[MakePlace]:
    """What makes places on empty databases of the kind, which go at the end of the block."""
    names: list[str] = []
    server: Postgres | None = None if kind == "sqlite" else request.getfixturevalue("postgres")

    def make() -> Place:
        name = f"place_{uuid4().hex[:12]}"
        data_dir = folder / name
        if server is None:
            return Place(f"sqlite:///{data_dir}/crowd.sqlite", data_dir)
        names.append(name)
        address = server.create_database(name)
        return Place("postgresql+psycopg://" + address.removeprefix("postgresql://"), data_dir)

    yield make
    for name in names:
        assert server is not None
        Migrated(server, name, []).drop()
