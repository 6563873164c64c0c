"""No figure for those who steer is made by going through the work: every endpoint's plans and pages."""

import psycopg
import pytest

from benchmarks.queue import kept
from benchmarks.queue.plans import Bill, watching
from benchmarks.queue.play import tables
from benchmarks.queue.stats import LOOKS, OWN_LOOKS, Looker, read_as_a_whole, rows_read
from tests.tasks.places import MORE_PER_DESCENT, Place

# One page of a listing, for each of the stages, and what one more says whether there is more.
MOST_ROWS = 6 * 51
PAGES_AN_ITEM = 10
# A queue of so few is looked through for what nobody may take; see crowd.tasks.blocked.
LOOKED_THROUGH = ("/stats/progress", "/stats/attention?kind=blocked")
LOOKERS = [(path, True) for path in LOOKS if path not in LOOKED_THROUGH] + [
    (path, False) for path in OWN_LOOKS
]


@pytest.fixture(scope="module")
def growing(built_places: tuple[Place, Place]) -> frozenset[str]:
    """The tables that grow with the tasks; those of kept figures are filled alike at both sizes."""
    for place in built_places:
        with psycopg.connect(place.built.server.address, autocommit=True) as connection:
            assert min(kept.fill(connection).values()) > 1000
            found = frozenset(tables(connection))
    assert {"tasks", "images", "submissions", "evidence", "claims", "participations"} <= found
    return found


@pytest.fixture(scope="module")
def lookers(
    built_places: tuple[Place, Place], growing: frozenset[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Looker, Looker]:
    small, large = (
        Looker(place.built, place.db, tmp_path_factory.mktemp("looker")) for place in built_places
    )
    return small, large


@pytest.mark.parametrize(("path", "as_admin"), LOOKERS)
def test_a_look_reads_no_more_with_ten_times_the_tasks(
    lookers: tuple[Looker, Looker], growing: frozenset[str], path: str, as_admin: bool
) -> None:
    small, large = (cheapest(looker, path, as_admin) for looker in lookers)
    assert read_as_a_whole(large, growing) == frozenset()
    assert rows_read(large, growing) <= MOST_ROWS
    # In the small one nobody has as much evidence as a page of the listing shows.
    of_listing = PAGES_AN_ITEM * 51 if "evidence" in path else 0
    most = small.buffers + MORE_PER_DESCENT * (small.descents + 1) + of_listing
    assert large.buffers <= most, [(plan.buffers, plan.name) for plan in large.plans]


def test_a_figure_made_from_the_answers_themselves_would_be_seen(
    built_places: tuple[Place, Place], growing: frozenset[str]
) -> None:
    db = built_places[1].db
    with watching(db.engine) as plans, db.read() as conn:
        conn.exec_driver_sql(
            "SELECT worker_id, count(*) FROM submissions WHERE seconds > 1 GROUP BY worker_id"
        )
    bill = Bill(tuple(plans))
    assert read_as_a_whole(bill, growing) == {"submissions"}
    assert rows_read(bill, growing) > MOST_ROWS


def cheapest(looker: Looker, path: str, as_admin: bool) -> Bill:
    """The smallest bill of a few looks: the first fills the process's own memory."""
    return min((looker.look(path, as_admin=as_admin) for _ in range(3)), key=lambda bill: bill.buffers)
