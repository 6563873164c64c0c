"""Flags over HTTP: admins look at them, and confirm or dismiss each."""

from dataclasses import asdict
from typing import Any

from crowd.accounts.auth import actor, requires_grade
from crowd.core import clock
from crowd.core.http import Blueprint, Page, page, paged
from crowd.policy import Grade
from crowd.runtime import runtime
from crowd.tiers import flag_queries as queries
from crowd.tiers import flags
from crowd.tiers.flag_queries import FlagRow
from crowd.tiers.flag_schemas import FlagPageArgs, FlagSchema, WholeFlagSchema
from crowd.tiers.schemas import ReasonSchema

blueprint = Blueprint("flags", __name__, description="What speaks against a person's answers.")

admins_only = requires_grade(Grade.ADMIN)


@blueprint.route("/tiers/flags")
@admins_only
@blueprint.arguments(FlagPageArgs, location="query")
@blueprint.response(200, paged(FlagSchema))
def list_flags(query: dict[str, Any]) -> Page:
    """Flags, oldest first; of one state, or about one person."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = queries.flags(
            conn, state=query["state"], worker_id=query["worker"], after=query["cursor"], limit=limit + 1
        )
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/tiers/flags/<int:flag_id>")
@admins_only
@blueprint.response(200, WholeFlagSchema)
def show_flag(flag_id: int) -> dict[str, Any]:
    """One flag with its evidence, and all that happened to it."""
    with runtime().db.read() as conn:
        return {**asdict(flags.find_flag(conn, flag_id)), "steps": queries.steps(conn, flag_id)}


@blueprint.route("/tiers/flags/<int:flag_id>/confirm", methods=["POST"])
@admins_only
@blueprint.arguments(ReasonSchema)
@blueprint.response(200, FlagSchema)
def confirm(body: dict[str, Any], flag_id: int) -> FlagRow:
    """The flag holds. Suspends the person at once where policy says so."""
    rt = runtime()
    with rt.db.begin() as conn:
        return flags.confirm(
            conn,
            flag_id,
            by=actor(),
            reason=body["reason"],
            suspends=rt.policy.flags.confirming_suspends,
            at=clock.now(),
        )


@blueprint.route("/tiers/flags/<int:flag_id>/dismiss", methods=["POST"])
@admins_only
@blueprint.arguments(ReasonSchema)
@blueprint.response(200, FlagSchema)
def dismiss(body: dict[str, Any], flag_id: int) -> FlagRow:
    """The flag does not hold."""
    with runtime().db.begin() as conn:
        return flags.dismiss(conn, flag_id, by=actor(), reason=body["reason"], at=clock.now())
