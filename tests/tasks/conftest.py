"""Two built queues that the tests of plans share: building them takes longer than looking at them."""

from collections.abc import Iterator

import pytest

from benchmarks.queue.build import add_variant, built
from benchmarks.queue.fates import VARIANTS
from crowd.core.db import Database
from tests.servers import find_postgres_binaries
from tests.tasks.places import LARGE, SMALL, Place


@pytest.fixture(scope="package")
def built_places() -> Iterator[tuple[Place, Place]]:
    """The small one and the large one."""
    if find_postgres_binaries() is None:
        pytest.skip("no PostgreSQL server binaries here")
    with built(SMALL, _quietly) as small, built(LARGE, _quietly) as large:
        for each in (small, large):
            for fate in VARIANTS:
                add_variant(each, fate)
        dbs = [Database(each.url) for each in (small, large)]
        yield Place(small, dbs[0]), Place(large, dbs[1])
        for db in dbs:
            db.close()


def _quietly(_line: str) -> None:
    pass
