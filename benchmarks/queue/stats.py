"""What everything that steers costs inside PostgreSQL, endpoint by endpoint, and that it stays the same."""

import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import psycopg
from flask.testing import FlaskClient

from benchmarks.queue import kept, people
from benchmarks.queue.build import Built, Say
from benchmarks.queue.figures import TALL, Figure, Pages, compared_sizes, grown, middle, size_name
from benchmarks.queue.plans import Bill, watching
from benchmarks.queue.play import tables
from crowd.app import create_app
from crowd.core import clock
from crowd.core.config import load_settings
from crowd.core.db import Database
from crowd.policy import Grade
from crowd.runtime import build_runtime

PART = "stats"
WARM_UP, ROUNDS = 1, 3

# What those who steer look at; {worker} is a labeller, {expert} an expert, {inspector} an inspector.
LOOKS = (
    "/stats/progress",
    "/stats/attention?kind=stuck",
    "/stats/attention?kind=blocked",
    "/stats/workers",
    "/stats/workers?format=csv",
    "/stats/workers?group=0&since={month}",
    "/stats/reviewers",
    "/stats/groups",
    "/stats/suppliers",
    "/stats/stages",
    "/stats/weeks",
    "/stats/weeks?worker={worker}",
    "/stats/styles",
    "/stats/errors",
    "/stats/errors?worker={worker}",
    "/stats/agreement",
    "/stats/agreement?by=group",
    "/stats/agreement?by=supplier",
    "/stats/agreement?by=style",
    "/stats/agreement?by=week",
    "/stats/errors?by=style",
    "/stats/fixes",
    "/stats/fixes?worker={worker}",
    "/stats/fixes?group=0",
    "/stats/experts",
    "/stats/candidates",
    "/stats/plans",
    "/plans",
    "/plans/attributes",
    "/assignments",
    "/notices/sent",
    "/workers",
    "/workers/{worker}/quality",
    "/workers/{inspector}/quality",
    "/workers/{worker}/evidence",
    "/workers/{expert}/evidence",
    "/workers/{worker}/grades",
    "/tiers/proposals",
    "/tiers/flags",
    "/redos",
    "/gold",
    "/groups",
)
# What a person sees of themselves.
OWN_LOOKS = ("/me", "/me/feedback", "/workers/{worker}/quality", "/workers/{worker}/evidence", "/notices")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a look costs at one size: medians of all its statements together.

    `rows`, `whole`: see `rows_read` and `read_as_a_whole`.
    """

    pages: Pages
    ms: float
    statements: int
    rows: float
    whole: frozenset[str]


Costs = Mapping[str, Cost]


class Looker:
    """Asks the application in this process as an admin, or as a labeller, and keeps what each look costs."""

    def __init__(self, database: Built, db: Database, folder: Path) -> None:
        settings = load_settings({"DATABASE_URL": database.url, "CROWD_DATA_DIR": str(folder)})
        app = create_app(rt=replace(build_runtime(settings), db=db), environ={"CROWD_LOG_LEVEL": "error"})
        self._client: FlaskClient = app.test_client()
        self._db = db
        chosen = {grade: people.of_grade(database.seed, grade)[0] for grade in Grade if grade in people.CREW}
        self._tokens = {True: chosen[Grade.ADMIN].token, False: chosen[Grade.GENERAL].token}
        self._names = {
            "worker": chosen[Grade.GENERAL].id,
            "expert": chosen[Grade.EXPERT].id,
            "inspector": chosen[Grade.INSPECTOR].id,
            "month": _month_ago(),
        }

    def look(self, path: str, *, as_admin: bool = True) -> Bill:
        """All statements of one request. Raises AssertionError unless it is answered with 200."""
        head = {"Authorization": f"Bearer {self._tokens[as_admin]}"}
        with watching(self._db.engine) as plans:
            answer = self._client.get("/api/v1" + path.format(**self._names), headers=head)
        assert answer.status_code == 200, (path, answer.status_code, answer.get_data(as_text=True))
        return Bill(tuple(plans))


def measure(database: Built, say: Say) -> Costs:
    """Look at everything a few times; the tables of kept figures are filled first."""
    with psycopg.connect(database.server.address, autocommit=True) as connection:
        rows = kept.fill(connection)
        growing = frozenset(tables(connection))
    say(f"{size_name(database.tasks)} {PART}: {sum(rows.values()):,} rows of kept figures")
    costs = {}
    with closing(Database(database.url)) as db, tempfile.TemporaryDirectory() as folder:
        looker = Looker(database, db, Path(folder))
        for path, as_admin in [*((path, True) for path in LOOKS), *((path, False) for path in OWN_LOOKS)]:
            bills = [looker.look(path, as_admin=as_admin) for _ in range(WARM_UP + ROUNDS)][WARM_UP:]
            name = path if as_admin else f"one's own {path}"
            costs[name] = cost = _cost(bills, growing)
            say(
                f"{size_name(database.tasks)} {name}: {cost.pages.count:.0f} pages {cost.ms:.2f} ms in "
                f"{cost.statements} statements; {cost.rows:.0f} rows of what grows"
                + (f"; READ AS A WHOLE: {', '.join(sorted(cost.whole))}" if cost.whole else "")
            )
    return costs


def compare(by_size: Mapping[int, Costs]) -> list[Figure]:
    """Each size against the one before it, the largest against the smallest; pages by the rule of claims."""
    sizes = sorted(by_size)
    figures = []
    for name in by_size[sizes[-1]]:
        for small, large in compared_sizes(sizes):
            ours, base = by_size[large][name], by_size[small][name]
            figures.append(grown(PART, name, small, large, ours.pages, base.pages))
        largest = by_size[sizes[-1]][name]
        figures.append(Figure(PART, f"{name} at {size_name(sizes[-1])}", "ms", largest.ms))
    for size in sizes:
        # A small table is rightly read as a whole.
        whole = frozenset[str]().union(*(cost.whole for cost in by_size[size].values()))
        words = f"tables that grow read as a whole at {size_name(size)}"
        figures.append(Figure(PART, words, "tables", float(len(whole)), bound=0 if size >= TALL else None))
    return figures


def read_as_a_whole(bill: Bill, growing: frozenset[str]) -> frozenset[str]:
    """Those of the tables that grow with the tasks which a statement went through from end to end."""
    nodes = [node for plan in bill.plans for node in plan.nodes]
    return frozenset(
        node.relation
        for node in nodes
        if node.type == "Seq Scan" and node.loops and node.relation and node.relation in growing
    )


def rows_read(bill: Bill, growing: frozenset[str]) -> float:
    """The most rows that one step read of a table that grows, those thrown away included."""
    nodes = (node for plan in bill.plans for node in plan.nodes if node.relation in growing)
    return max((node.rows + node.removed for node in nodes), default=0.0)


def _cost(bills: list[Bill], growing: frozenset[str]) -> Cost:
    pages = Pages(
        count=middle(float(bill.buffers) for bill in bills),
        descents=middle(float(bill.descents) for bill in bills),
    )
    return Cost(
        pages,
        ms=middle(bill.execution for bill in bills),
        statements=len(bills[0].plans),
        rows=max(rows_read(bill, growing) for bill in bills),
        whole=frozenset[str]().union(*(read_as_a_whole(bill, growing) for bill in bills)),
    )


def _month_ago() -> str:
    return (clock.now().date() - timedelta(days=30)).isoformat()
