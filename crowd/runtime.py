"""What a process holds while it runs: settings, database, storage, queue, policy, taxonomy."""

from dataclasses import dataclass

from flask import current_app

from crowd.core.config import Settings
from crowd.core.db import Database
from crowd.core.queue import JobQueue
from crowd.core.storage import FolderStorage, open_storage
from crowd.policy import Policy, load_policy
from crowd.taxonomy import Taxonomy, load_taxonomy

EXTENSION = "crowd"


@dataclass(frozen=True, slots=True)
class Runtime:
    """Made once at the edge of a process and handed down."""

    settings: Settings
    db: Database
    storage: FolderStorage
    queue: JobQueue
    policy: Policy
    taxonomy: Taxonomy


def build_runtime(settings: Settings, *, connections: int | None = None) -> Runtime:
    """Everything `settings` describes; with so many connections to PostgreSQL at most.

    Raises SettingsError, PolicyError or TaxonomyError.
    """
    return Runtime(
        settings=settings,
        db=Database(settings.database_url, most=connections),
        storage=open_storage(settings.storage, settings.scratch),
        queue=JobQueue(settings.redis_url),
        policy=load_policy(
            settings.policy_file,
            lease_seconds=settings.lease_seconds,
            reserve_seconds=settings.reserve_seconds,
            gold_percent=settings.gold_percent,
        ),
        taxonomy=load_taxonomy(settings.taxonomy_file),
    )


def runtime() -> Runtime:
    """The runtime of the web process that serves the present request."""
    found: Runtime = current_app.extensions[EXTENSION]
    return found
