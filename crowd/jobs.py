"""What job workers run: one function a queue, each "go and look".

A job carries no data, may run twice, and may get lost; the database knows what is pending.
"""

from functools import lru_cache

import structlog

from crowd.core import clock
from crowd.core.config import load_settings
from crowd.datasets.jobs import run_exports
from crowd.images.jobs import prepare_images
from crowd.runtime import Runtime, build_runtime
from crowd.tasks import counts, leases
from crowd.wiring import wire

log = structlog.get_logger(__name__)

QUEUES = ("upkeep", "images", "exports")


@lru_cache(maxsize=1)
def job_runtime() -> Runtime:
    """The runtime of this job worker process."""
    rt = build_runtime(load_settings())
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
    for kind in ("images", "exports"):
        rt.queue.nudge(kind)
    counts.fold(rt.db)
    counts.reconcile_if_due(rt.db, clock.now())
    return rounds


def images() -> int:
    """Make the working images that are missing. Returns how many were looked at."""
    return prepare_images(job_runtime())


def exports() -> int:
    """Write the exports that are pending. Returns how many were finished."""
    return run_exports(job_runtime())
