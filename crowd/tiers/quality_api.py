"""Quality over HTTP: scores and the evidence behind them, and what the promotion rule proposes."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, time
from typing import Any

from sqlalchemy.engine import Connection

from crowd.accounts import service as accounts
from crowd.accounts.auth import actor, own_or_admin, requires_grade, requires_login
from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.http import Blueprint, Page, PageArgs, page, paged
from crowd.policy import Grade
from crowd.runtime import runtime
from crowd.tiers import flags, proposal_queries, proposals
from crowd.tiers import quality_queries as queries
from crowd.tiers.flag_models import FlagState
from crowd.tiers.proposal_queries import ProposalRow
from crowd.tiers.quality_schemas import (
    ConfirmSchema,
    DismissSchema,
    EvidenceSchema,
    OutlookSchema,
    ProposalPageArgs,
    ProposalSchema,
    QualitySchema,
)
from crowd.tiers.score import figures

blueprint = Blueprint("quality", __name__, description="Quality scores, and what they propose.")

admins_only = requires_grade(Grade.ADMIN)

# One's own evidence, without what would tell gold from work, and who judged.
OWN_EVIDENCE = ("id", "stage", "kind", "value", "score", "opens", "at", "cancels_id", "taken_out")


@blueprint.route("/workers/<int:worker_id>/quality")
@requires_login
@blueprint.response(200, QualitySchema)
def show_quality(worker_id: int) -> dict[str, Any]:
    """Somebody's quality by stage: for admins, and for oneself, as it stood when the day began."""
    caller = own_or_admin(worker_id)
    with runtime().db.read() as conn:
        accounts.find_person(conn, worker_id)
        return _own_quality(conn, worker_id) if caller.id == worker_id else _quality(conn, worker_id)


@blueprint.route("/workers/<int:worker_id>/evidence")
@requires_login
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(EvidenceSchema))
def show_evidence(query: dict[str, Any], worker_id: int) -> Page:
    """The evidence behind somebody's scores, newest first: for admins, and for oneself up to yesterday."""
    caller = own_or_admin(worker_id)
    is_own = caller.id == worker_id
    limit = query["limit"]
    with runtime().db.read() as conn:
        accounts.find_person(conn, worker_id)
        rows = queries.evidence_page(
            conn,
            worker_id,
            before=query["cursor"],
            limit=limit + 1,
            until=_midnight() if is_own else None,
            gold=not is_own,
        )
    shown: list[Any] = [_own_evidence(row) for row in rows] if is_own else list(rows)
    return page(shown, limit, lambda row: row["id"] if is_own else row.id)


@blueprint.route("/me/outlook")
@requires_login
@blueprint.response(200, OutlookSchema)
def show_outlook() -> dict[str, Any]:
    """Where the caller stands towards the next grade, and what was proposed for them."""
    rt, caller = runtime(), actor()
    with rt.db.read() as conn:
        found = proposals.outlook_of(conn, caller.id, rt.policy, clock.now())
    assert found is not None
    return found


@blueprint.route("/tiers/proposals")
@admins_only
@blueprint.arguments(ProposalPageArgs, location="query")
@blueprint.response(200, paged(ProposalSchema))
def list_proposals(query: dict[str, Any]) -> Page:
    """What the rule proposes, oldest first; with `state` what became of it."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = proposal_queries.proposals(conn, after=query["cursor"], limit=limit + 1, state=query["state"])
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/tiers/proposals/<int:proposal_id>/confirm", methods=["POST"])
@admins_only
@blueprint.arguments(ConfirmSchema)
@blueprint.response(200, ProposalSchema)
def confirm_proposal(body: dict[str, Any], proposal_id: int) -> ProposalRow:
    """Give the person the proposed grade."""
    with runtime().db.begin() as conn:
        return proposals.confirm(conn, proposal_id, by=actor(), reason=body["reason"], at=clock.now())


@blueprint.route("/tiers/proposals/<int:proposal_id>/dismiss", methods=["POST"])
@admins_only
@blueprint.arguments(DismissSchema)
@blueprint.response(200, ProposalSchema)
def dismiss_proposal(body: dict[str, Any], proposal_id: int) -> ProposalRow:
    """Leave the person as they are, for a reason."""
    with runtime().db.begin() as conn:
        return proposals.dismiss(conn, proposal_id, by=actor(), reason=body["reason"], at=clock.now())


def _quality(conn: Connection, worker_id: int) -> dict[str, Any]:
    numbers = runtime().policy.quality
    return {
        "stages": {
            stage.value: {**asdict(figures(each.score, numbers)), "gold_n": each.score.gold_n}
            for stage, each in queries.scores_of(conn, worker_id).items()
        },
        "flags": flags.flags_of(conn, worker_id),
        "severity": queries.severity_of(conn, worker_id),
    }


def _own_quality(conn: Connection, worker_id: int) -> dict[str, Any]:
    """Reckoned without gold, and in steps of a day: a change must not tell which answer brought it."""
    numbers, now = runtime().policy.quality, clock.now()
    begun = {stage: each.score.as_told(now) for stage, each in queries.scores_of(conn, worker_id).items()}
    return {
        "stages": {stage.value: asdict(figures(score, numbers)) for stage, score in begun.items() if score.n},
        "flags": flags.flags_of(conn, worker_id, state=FlagState.CONFIRMED),
    }


def _own_evidence(row: AnyRow) -> Mapping[str, Any]:
    return {name: row._mapping[name] for name in OWN_EVIDENCE}


def _midnight() -> datetime:
    return datetime.combine(clock.now().date(), time(), UTC)
