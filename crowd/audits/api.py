"""Audits over HTTP: drawn and sent back by admins, signed by auditors, who read all else."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response
from sqlalchemy.engine import Connection

from crowd.accounts import service as accounts
from crowd.accounts.auth import account_of, actor, requires_grade, requires_kind
from crowd.accounts.models import AccountKind
from crowd.audits import figures, queries, return_queries, sendback, service
from crowd.audits.blocked import queries as blocked_queries
from crowd.audits.blocked import service as blocked
from crowd.audits.models import AuditState
from crowd.audits.sample_queries import Behind, sample
from crowd.audits.schemas import (
    AuditArgs,
    AuditImageArgs,
    AuditImageSchema,
    AuditorSchema,
    AuditPageArgs,
    AuditPreviewArgs,
    AuditPreviewSchema,
    AuditSchema,
    DropAuditSchema,
    NewAuditorSchema,
    NewAuditSchema,
    RateSchema,
    RedrawAuditSchema,
    SendBackLotSchema,
    SentBackSchema,
    SignatureSchema,
    SignSchema,
    WelcomeAuditorSchema,
    WholeAuditSchema,
)
from crowd.audits.service import Wanted
from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.errors import Forbidden
from crowd.core.http import Blueprint, Page, page, paged
from crowd.images import queries as images
from crowd.policy import Grade
from crowd.review.policy import PASSING
from crowd.runtime import runtime
from crowd.steering.api import CSV_NOTE, as_csv, wants_csv
from crowd.tiers import service as tiers

blueprint = Blueprint("audits", __name__, description="The final audit before a release.")

admins_only = requires_grade(Grade.ADMIN)
CHUNK = 500
POLICY_SAYS = ("confidence", "tolerable_rate", "allowed_wrong")


@blueprint.route("/audits", methods=["POST"])
@admins_only
@blueprint.arguments(NewAuditSchema)
@blueprint.response(201, WholeAuditSchema)
def draw_audit(body: dict[str, Any]) -> dict[str, Any]:
    """Draw a sample of the accepted images; experts who had no part in them judge it."""
    return _whole(service.draw(runtime().db, _wanted(body), by=actor()))


@blueprint.route("/audits/preview")
@admins_only
@blueprint.arguments(AuditPreviewArgs, location="query")
@blueprint.response(200, AuditPreviewSchema)
def preview_audit(query: dict[str, Any]) -> dict[str, Any]:
    """How many images an audit would have to judge, and by how many people; draws nothing."""
    rt = runtime()
    wanted = _wanted({**query, "seed": None, "reason": ""})
    with rt.db.read() as conn:
        lot, size = service.preview(conn, wanted)
        judges = blocked_queries.judges(conn, rt.policy.audit.grades)
    numbers = {name: getattr(wanted, name) for name in POLICY_SAYS}
    grades = blocked.missing_grades(rt.policy)
    return {**numbers, "lot": lot, "size": size, "judges": judges, "grades": grades}


@blueprint.route("/audits")
@admins_only
@blueprint.arguments(AuditPageArgs, location="query")
@blueprint.response(200, paged(AuditSchema), description=CSV_NOTE)
def list_audits(query: dict[str, Any]) -> Page | Response:
    """Audits, oldest first."""
    if wants_csv(query):
        return as_csv(AuditSchema, _every(query), "audits")
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = queries.audits(conn, state=query["verdict"], after=query["cursor"], limit=limit + 1)
        return page(_summaries(conn, rows), limit, lambda row: row["id"])


@blueprint.route("/audits/<int:audit_id>")
@admins_only
@blueprint.arguments(AuditArgs, location="query")
@blueprint.response(200, WholeAuditSchema, description=CSV_NOTE)
def show_audit(query: dict[str, Any], audit_id: int) -> dict[str, Any] | Response:
    """How far an audit is and what it found; as CSV the rates alone."""
    if not wants_csv(query):
        return _whole(audit_id)
    with runtime().db.read() as conn:
        rates = figures.figures(conn, service.find_audit(conn, audit_id))
    return as_csv(RateSchema, rates, f"audit-{audit_id}")


@blueprint.route("/audits/<int:audit_id>/images")
@admins_only
@blueprint.arguments(AuditImageArgs, location="query")
@blueprint.response(200, paged(AuditImageSchema))
def list_sample(query: dict[str, Any], audit_id: int) -> Page:
    """The sample in the order in which it was drawn, and the verdicts; or what is behind one of its rates."""
    limit = query["limit"]
    narrowed = {name: query[name] for name in ("wrong", "blame", "reviewer", "supplier")}
    behind = Behind(**narrowed, reviews=figures.REVIEWS, passing=PASSING)
    with runtime().db.read() as conn:
        found = service.find_audit(conn, audit_id)
        rows = sample(conn, found, behind, after=query["cursor"], limit=limit + 1)
    return page(rows, limit, lambda row: row.place)


@blueprint.route("/audits/<int:audit_id>/send-back", methods=["POST"])
@admins_only
@blueprint.arguments(SendBackLotSchema)
@blueprint.response(200, SentBackSchema)
@blueprint.alt_response(202, schema=SentBackSchema)
def send_back(body: dict[str, Any], audit_id: int) -> Any:
    """Send what is wrong to the stage to blame, and the lot to another review; or tell how much it is."""
    rt = runtime()
    wanted = sendback.Wanted(audit_id, body["stage"] if body["lot"] else None, body["reason"])
    if body["preview"]:
        with rt.db.read() as conn:
            return {"preview": sendback.preview(conn, wanted), "id": None}
    with rt.db.begin() as conn:
        return_id = sendback.order(conn, wanted, by=actor(), now=clock.now())
    rt.queue.nudge("redos")
    return {"preview": None, "id": return_id}, 202


@blueprint.route("/audits/<int:audit_id>/drop", methods=["POST"])
@admins_only
@blueprint.arguments(DropAuditSchema)
@blueprint.response(200, WholeAuditSchema)
def drop_audit(body: dict[str, Any], audit_id: int) -> dict[str, Any]:
    """Give up an audit that is open; another one can be drawn then."""
    with runtime().db.begin() as conn:
        service.drop(conn, audit_id, by=actor(), reason=body["reason"], now=clock.now())
    return _whole(audit_id)


@blueprint.route("/audits/<int:audit_id>/redraw", methods=["POST"])
@admins_only
@blueprint.arguments(RedrawAuditSchema)
@blueprint.response(200, WholeAuditSchema)
def redraw_audit(body: dict[str, Any], audit_id: int) -> dict[str, Any]:
    """Draw others for the images that nobody may judge; the rates then speak of what can be judged."""
    rt = runtime()
    blocked.redraw(rt.db, rt.policy, audit_id, by=actor(), reason=body["reason"])
    return _whole(audit_id)


@blueprint.route("/audits/<int:audit_id>/sign", methods=["POST"])
@requires_kind(AccountKind.AUDITOR)
@blueprint.arguments(SignSchema)
@blueprint.response(201, SignatureSchema)
def sign_audit(body: dict[str, Any], audit_id: int) -> dict[str, Any]:
    """Sign how an audit stands, with a comment; for auditors alone."""
    me = account_of(AccountKind.AUDITOR)
    if me.kind is not AccountKind.AUDITOR:
        raise Forbidden("account_kind", "Auditors sign; whoever draws does not.")
    with runtime().db.begin() as conn:
        return service.sign(
            conn, audit_id, by=me, opinion=body["verdict"], comment=body["comment"], now=clock.now()
        )


@blueprint.route("/auditors")
@admins_only
@blueprint.response(200, AuditorSchema(many=True))
def list_auditors() -> list[AnyRow]:
    """The accounts of auditors."""
    with runtime().db.read() as conn:
        return list(images.accounts(conn, AccountKind.AUDITOR, None))


@blueprint.route("/auditors", methods=["POST"])
@admins_only
@blueprint.arguments(NewAuditorSchema)
@blueprint.response(201, WelcomeAuditorSchema)
def add_auditor(body: dict[str, Any]) -> dict[str, Any]:
    """A login for somebody from outside, who looks at everything and changes nothing."""
    password = accounts.make_password()
    with runtime().db.begin() as conn:
        kind = AccountKind.AUDITOR
        person = tiers.join(conn, body["username"], Grade.TRAINEE, by=actor(), password=password, kind=kind)
        _, token = accounts.issue_token(conn, person.id)
    return {
        "id": person.id,
        "username": person.username,
        "kind": kind,
        "token": token,
        "password": password.text,
    }


def _wanted(given: Mapping[str, Any]) -> Wanted:
    usual = runtime().policy.audit
    chosen = {name: getattr(usual, name) if given[name] is None else given[name] for name in POLICY_SAYS}
    return Wanted(**{**given, **chosen})


def _whole(audit_id: int) -> dict[str, Any]:
    """An audit with all that belongs to it. Raises NotFound."""
    policy = runtime().policy
    with runtime().db.read() as conn:
        found = service.find_audit(conn, audit_id)
        [summary] = _summaries(conn, [found])
        return {
            **summary,
            "blocked_for": blocked.missing_grades(policy) if summary["blocked"] else [],
            "rates": figures.figures(conn, found),
            "history": queries.events(conn, audit_id),
            "signatures": service.signatures(conn, found),
            "sent_back": return_queries.returns(conn, audit_id),
        }


def _summaries(conn: Connection, rows: Sequence[AnyRow]) -> list[dict[str, Any]]:
    waiting = [row.id for row in rows if row.state is AuditState.OPEN]
    stuck = blocked_queries.counts(conn, runtime().policy.audit.grades, waiting) if waiting else {}
    return [{**figures.summary(row), "blocked": stuck.get(row.id, 0)} for row in rows]


def _every(query: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        after = found[-1]["id"] if found else None
        with runtime().db.read() as conn:
            rows = queries.audits(conn, state=query["verdict"], after=after, limit=CHUNK)
            found += _summaries(conn, rows)
        if len(rows) < CHUNK:
            return found
