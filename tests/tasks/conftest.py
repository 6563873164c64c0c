"""Two built queues that the tests of plans share: building them takes longer than looking at them."""

from collections.abc import Iterator

import pytest

from benchmarks.queue.fates import VARIANTS
from crowd.core.db import Database
from tests.queues import built_queue
from tests.servers import find_postgres_binaries
from tests.tasks.places import LARGE, SMALL, Place


@pytest.fixture(scope="package")
def built_places() -> Iterator[tuple[Place, Place]]:
    """The small one and the large one."""
    if find_postgres_binaries() is None:
        pytest.skip("no PostgreSQL server binaries here")
    with built_queue(SMALL, VARIANTS) as small, built_queue(LARGE, VARIANTS) as large:
        dbs = [Database(each.url) for each in (small, large)]
        yield Place(small, dbs[0]), Place(large, dbs[1])
        for db in dbs:
            db.close()
