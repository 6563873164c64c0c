"""Who may fetch a release, who did, and what models achieved that were trained on one."""

import math
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from crowd.accounts.auth import Actor
from crowd.core.clock import rfc3339
from crowd.core.db import AnyRow
from crowd.core.errors import Conflict, Forbidden, field_error
from crowd.datasets import access_queries, queries, service
from crowd.datasets.desk import Desk
from crowd.datasets.models import AccessDecision, AccessRequest, Download
from crowd.datasets.records import Split
from crowd.ml.service import Added

# Where releases are asked for.
DESK: Desk[int] = Desk(AccessRequest, AccessDecision, Download, "release_id", "release {}")


def ask(conn: Connection, actor: Actor, release_id: int, purpose: str, now: datetime) -> AnyRow:
    """Ask for a release. Raises NotFound, and Conflict where there is no need."""
    service.find_release(conn, release_id)
    return DESK.ask(conn, actor, release_id, purpose, now)


def grant_of(conn: Connection, actor: Actor, release_id: int) -> int | None:
    """The request that allows the caller to fetch the release; None for admins and auditors, who need none.

    Raises Forbidden `not_granted`.
    """
    if actor.sees_all:
        return None
    request_id = DESK.approved(conn, actor, release_id)
    if request_id is None:
        raise Forbidden(
            "not_granted", f"Ask for release {release_id} first: POST /releases/{release_id}/requests."
        )
    return request_id


def is_granted(conn: Connection, actor: Actor, release_id: int) -> bool:
    """Whether the caller may fetch the release."""
    return actor.sees_all or DESK.approved(conn, actor, release_id) is not None


def note_download(conn: Connection, actor: Actor, export: AnyRow, now: datetime) -> None:
    """The caller fetches an export, which is written down. Raises Forbidden, and Conflict `not_done`."""
    request_id = grant_of(conn, actor, export.release_id)
    if not access_queries.is_done(export):
        raise Conflict("not_done", f"Job {export.id} is {export.state}; its files come when it is done.")
    DESK.note_use(conn, actor, export.release_id, request_id, now, export_id=export.id)


def add_result(
    conn: Connection,
    actor: Actor,
    release_id: int,
    model: str,
    model_id: int | None,
    split: Split,
    figures: Mapping[str, float],
    now: datetime,
) -> int:
    """Attach what a model achieved. Raises NotFound, and a 422 about `figures` or `model_id`."""
    service.find_release(conn, release_id)
    if not figures:
        raise field_error("figures", "at least one figure")
    try:
        with conn.begin_nested():
            return access_queries.add_result(
                conn,
                release_id=release_id,
                model_id=model_id,
                model=model,
                split=split,
                figures=dict(figures),
                actor_id=actor.id,
                at=now,
            )
    except IntegrityError:
        raise field_error("model_id", f"there is no model {model_id}") from None


def note_trained(conn: Connection, added: Added, now: datetime) -> None:
    """A model that was trained on a release of ours brings its test result along when it is registered."""
    trained = added.card.release
    if trained is None or trained.split not in set(Split):
        return
    release = queries.release_named(conn, trained.name)
    figures = {
        name: value
        for name, value in added.card.metrics.items()
        if isinstance(value, float) and math.isfinite(value)
    }
    # Another installation may have had a release of that name.
    if release is None or rfc3339(release.created_at) != trained.created_at or not figures:
        return
    access_queries.add_result(
        conn,
        release_id=release.id,
        model_id=added.model_id,
        model=added.title,
        split=Split(trained.split),
        figures=figures,
        actor_id=added.by,
        at=now,
    )
