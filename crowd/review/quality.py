"""The nightly job of quality: how severe reviewers are is fitted anew, and every score with it."""

from datetime import datetime, timedelta

import structlog

from crowd.core.db import Database
from crowd.policy import Policy
from crowd.tasks import due
from crowd.tiers.rebuild import Rebuilt, refit

log = structlog.get_logger(__name__)

REFIT = due.Schedule("quality", every=timedelta(days=1), within=timedelta(hours=2))


def refit_if_due(db: Database, policy: Policy, now: datetime) -> Rebuilt | None:
    """`refit` once a day, however many processes ask; None when it is not due."""
    rebuilt = due.once(db, REFIT, now, lambda: refit(db, policy, now))
    if rebuilt is not None:
        log.info("quality_refitted", scores=rebuilt.scores, reviewers=rebuilt.reviewers)
    return rebuilt
