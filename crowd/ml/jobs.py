"""Job: make the candidates that are pending, for a while. It imports torch: import it where it is needed."""

from crowd.core import clock
from crowd.ml import pending, queries
from crowd.ml.prelabel import Line
from crowd.runtime import Runtime

# A job ends after so long, so that a worker told to stop need not be killed; the next one goes on.
SLOT_SECONDS = 30.0

_LINES: dict[str, Line] = {}


def line_of(rt: Runtime) -> Line:
    """This process's production line, with its models."""
    key = rt.settings.database_url
    if key not in _LINES:
        _LINES[key] = Line(rt)
    return _LINES[key]


def make_candidates(rt: Runtime) -> int:
    """Make what is pending, for SLOT_SECONDS at most. Returns for how many tasks.

    While there is work another job waits in the queue, so that every idle worker joins in at once.
    """
    if not _is_pending(rt):
        return 0
    rt.queue.nudge("candidates")
    tally = line_of(rt).run(seconds=SLOT_SECONDS)
    return tally.made


def _is_pending(rt: Runtime) -> bool:
    with rt.db.read() as conn:
        served = [row for row in queries.served(conn) if row.model_id is not None]
        return any(pending.is_pending(conn, row.model_id, row.stage, clock.now()) for row in served)
