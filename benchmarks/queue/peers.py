"""How two other systems pick the next task, in SQL of our own words over tables of the same data.

After what their public sources do; none of it is copied. One statement of theirs stands against our whole
claim: what they do besides (other statements, locks, Python over the rows) is left out.

Label Studio: the tasks of a project that are not labelled enough, without those this person has annotated
or put off. In sequence, it fetches the ids of all of them and tries one after the other; with several
annotations a task, it tries some of those that have the most; else some at random.
PyBossa: the tasks not completed that this person has not answered, by priority; its locked scheduler counts
the answers of each and takes as many as there are people, to try to lock one.
"""

from benchmarks.queue import people
from benchmarks.queue.build import Built, Say
from benchmarks.queue.figures import Figure, middle, size_name
from benchmarks.queue.plans import Bill, explain, explain_claim
from benchmarks.queue.web import Length
from crowd.core.db import Database
from crowd.policy import Grade, load_policy
from crowd.tasks.leases import Claimant
from crowd.tasks.marks import MarkBook
from crowd.tasks.models import TASK_STATE, TaskState

PART = "peers"
ROUNDS = 3
_DONE = TASK_STATE.code(TaskState.DONE)

_TABLES = f"""
CREATE SCHEMA peers;
CREATE TABLE peers.task AS
    SELECT id, 1 AS project, state = {_DONE} AS is_labeled, 1 AS overlap, priority, 1 AS n_answers FROM tasks;
CREATE TABLE peers.annotation AS
    SELECT id, task_id AS task, 1 AS project, worker_id AS person FROM submissions;
CREATE TABLE peers.draft (task bigint, person bigint);
ALTER TABLE peers.task ADD PRIMARY KEY (id);
CREATE INDEX ON peers.task (project, is_labeled);
CREATE INDEX ON peers.task (project, priority);
ALTER TABLE peers.annotation ADD PRIMARY KEY (id);
CREATE INDEX ON peers.annotation (task);
CREATE INDEX ON peers.annotation (project, person);
CREATE INDEX ON peers.draft (person);
"""

_OPEN = """
    FROM peers.task t
    WHERE t.project = 1 AND NOT t.is_labeled
    AND t.id NOT IN (SELECT a.task FROM peers.annotation a WHERE a.project = 1 AND a.person = %(who)s)
    AND t.id NOT IN (SELECT d.task FROM peers.draft d WHERE d.person = %(who)s)
"""
_TRIED = 50
_PEOPLE = 200

# Each finds what one person is given next, as in the module's first words.
PEERS: dict[str, str] = {
    "Label Studio, in sequence": f"SELECT t.id {_OPEN} ORDER BY t.id",
    "Label Studio, several annotations": f"""
        WITH counted AS (
            SELECT t.id, (
                SELECT count(*) FROM peers.annotation a WHERE a.task = t.id AND a.person <> %(who)s
            ) AS had {_OPEN}
        )
        SELECT id FROM counted WHERE had = (SELECT max(had) FROM counted) ORDER BY random() LIMIT {_TRIED}
    """,
    "Label Studio, at random": f"SELECT t.id {_OPEN} ORDER BY random() LIMIT {_TRIED}",
    "PyBossa, depth first": f"SELECT t.id {_OPEN} ORDER BY t.priority DESC LIMIT 1",
    "PyBossa, locked": f"""
        SELECT t.id, t.n_answers, count(r.id)
        FROM peers.task t LEFT JOIN peers.annotation r ON r.task = t.id
        WHERE t.project = 1 AND NOT t.is_labeled AND NOT EXISTS (
            SELECT 1 FROM peers.annotation own WHERE own.task = t.id AND own.person = %(who)s
        )
        GROUP BY t.id HAVING count(r.id) < t.n_answers
        ORDER BY t.priority DESC, t.id LIMIT {_PEOPLE + 5}
    """,
}


def measure(database: Built, _length: Length, _say: Say) -> list[Figure]:
    """Every peer's statement beside our claim, for the same person."""
    db = Database(database.url)
    try:
        _make_tables(db)
        member = people.of_grade(database.seed, Grade.GENERAL)[7]
        ours = _ours(db, database, member.id)
        size = size_name(database.tasks)
        found = []
        for name, text in PEERS.items():
            theirs = [_theirs(db, text, member.id) for _ in range(ROUNDS)][1:]
            for unit, cost in (("ms", _ms), ("pages", _pages)):
                figure = Figure(PART, f"our claim / {name}, {size}", unit, cost(ours), cost(theirs))
                found.append(figure)
        return found
    finally:
        db.close()


def _make_tables(db: Database) -> None:
    with db.engine.connect() as conn:
        if conn.exec_driver_sql("SELECT to_regnamespace('peers') IS NOT NULL").scalar_one():
            conn.exec_driver_sql("DROP SCHEMA peers CASCADE")
        conn.exec_driver_sql(_TABLES)
        conn.commit()
        autocommit = conn.execution_options(isolation_level="AUTOCOMMIT")
        for table in ("task", "annotation", "draft"):
            autocommit.exec_driver_sql(f"VACUUM (ANALYZE) peers.{table}")


def _ours(db: Database, database: Built, worker_id: int) -> list[Bill]:
    claimant, book, policy = Claimant(worker_id, database.taxonomy_id), MarkBook(), load_policy()
    return [explain_claim(db, claimant, policy, book)[1] for _ in range(2 * ROUNDS)][ROUNDS:]


def _theirs(db: Database, text: str, worker_id: int) -> Bill:
    # The long ones take seconds: the time-out of an idle transaction does not end a busy one.
    picked, bill = explain(db, lambda conn: conn.exec_driver_sql(text, {"who": worker_id}).first())
    assert picked, "a peer found nothing where there is work"
    return bill


def _ms(bills: list[Bill]) -> float:
    return middle(bill.execution for bill in bills)


def _pages(bills: list[Bill]) -> float:
    return middle(float(bill.buffers) for bill in bills)
