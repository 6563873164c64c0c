"""What job workers run: one function a queue, each "go and look".

A job carries no data, may run twice, and may get lost; the database knows what is pending.
"""

from functools import lru_cache
from importlib import import_module

import structlog

from crowd.audits.sendback import run_returns
from crowd.core import clock
from crowd.core.config import load_settings
from crowd.datasets.jobs import run_exports
from crowd.drafts import service as drafts
from crowd.gold.refreshers import service as refreshers
from crowd.images import contracts, deliveries
from crowd.images.jobs import prepare_images
from crowd.ml import service as models
from crowd.ml import uses
from crowd.ml.watch import service as models_watch
from crowd.review import quality, watch
from crowd.review.probation import service as probation
from crowd.review.redo import run_redos
from crowd.runtime import Runtime, build_runtime
from crowd.steering import telling
from crowd.tasks import assignments, counts, experts, leases
from crowd.tiers import proposals
from crowd.wiring import wire

log = structlog.get_logger(__name__)

QUEUES = ("upkeep", "images", "exports", "redos", "candidates")
# What a job worker looks at that was not told: candidates need packages, and a GPU if there is one.
USUAL_QUEUES = ("upkeep", "images", "exports", "redos")

# A job worker does one thing at a time. An export keeps its lease by a second connection, and candidates are
# written by a thread of their own; one more is to spare.
CONNECTIONS = 3

# Of history from before at each upkeep, so that the next one is not late.
RETOLD_PAGES = 20


@lru_cache(maxsize=1)
def job_runtime() -> Runtime:
    """The runtime of this job worker process."""
    rt = build_runtime(load_settings(), connections=CONNECTIONS)
    wire(rt)
    return rt


def upkeep() -> int:
    """Take back what ran out, ask for whatever is pending, and keep the counts short and right.

    Returns how often leases were tidied. Asking again each time is what brings work back after Redis
    was lost or flushed.
    """
    rt = job_runtime()
    rounds = 0
    while rounds < 100:
        with rt.db.begin() as conn:
            if not leases.tidy(conn, rt.policy, clock.now()):
                break
        rounds += 1
    assignments.upkeep(rt.db, rt.policy, clock.now())
    with rt.db.read() as conn:
        makes_candidates = models.is_any_served(conn)
    for kind in ("images", "exports", "redos", *(["candidates"] if makes_candidates else [])):
        rt.queue.nudge(kind)
    contracts.sweep_ended(rt)
    deliveries.let_in_begun(rt)
    deliveries.open_all_waiting(rt)
    counts.fold(rt.db)
    uses.fold(rt.db)
    counts.reconcile_if_due(rt.db, clock.now())
    experts.fold(rt.db, clock.now())
    probation.upkeep(rt.db, rt.policy, clock.now())
    watch.look_if_due(rt.db, rt.policy, clock.now())
    quality.refit_if_due(rt.db, rt.policy, clock.now())
    refreshers.look_if_due(rt.db, rt.policy, clock.now())
    proposals.look(rt.db, rt.policy, clock.now())
    telling.tell(rt.db)
    telling.retell(rt.db, most=RETOLD_PAGES)
    with rt.db.begin() as conn:
        drafts.forget_old(conn, clock.now())
    models_watch.look_if_due(rt, clock.now())
    return rounds


def images() -> int:
    """Make the working images that are missing. Returns how many were looked at."""
    return prepare_images(job_runtime())


def exports() -> int:
    """Write the exports that are pending. Returns how many were finished."""
    return run_exports(job_runtime())


def redos() -> int:
    """Do the redos that are pending, and what audits send back. Returns how many images were opened again."""
    db = job_runtime().db
    return run_redos(db) + run_returns(db)


def candidates() -> int:
    """Make the candidates that are pending, for a while. Returns for how many tasks."""
    # By name, now: no other job needs torch, or may have it.
    made: int = import_module("crowd.ml.jobs").make_candidates(job_runtime())
    return made
