"""Audits over HTTP: drawn and sent back by admins, signed by auditors, who read all else."""

from collections.abc import Mapping
from typing import Any

from flask import Response
from sqlalchemy.engine import Connection

from crowd.accounts import service as accounts
from crowd.accounts.auth import account_of, actor, requires_grade, requires_kind
from crowd.accounts.models import AccountKind
from crowd.audits import figures, queries, return_queries, sendback, service
from crowd.audits.schemas import (
    AuditArgs,
    AuditImageSchema,
    AuditorSchema,
    AuditPageArgs,
    AuditSchema,
    DropAuditSchema,
    NewAuditorSchema,
    NewAuditSchema,
    RateSchema,
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
from crowd.core.http import Blueprint, Page, PageArgs, page, paged
from crowd.images import queries as images
from crowd.policy import Grade
from crowd.runtime import runtime
from crowd.steering.api import CSV_NOTE, as_csv, wants_csv
from crowd.tiers import service as tiers

blueprint = Blueprint("audits", __name__, description="The final audit before a release.")

admins_only = requires_grade(Grade.ADMIN)
CHUNK = 500


@blueprint.route("/audits", methods=["POST"])
@admins_only
@blueprint.arguments(NewAuditSchema)
@blueprint.response(201, WholeAuditSchema)
def draw_audit(body: dict[str, Any]) -> dict[str, Any]:
    """Draw a sample of the accepted images; experts who had no part in them judge it."""
    rt = runtime()
    numbers = ("confidence", "tolerable_rate", "allowed_wrong")
    chosen = {name: getattr(rt.policy.audit, name) if body[name] is None else body[name] for name in numbers}
    return _whole(service.draw(rt.db, Wanted(**{**body, **chosen}), by=actor()))


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
    return page([figures.summary(row) for row in rows], limit, lambda row: row["id"])


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
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(AuditImageSchema))
def list_sample(query: dict[str, Any], audit_id: int) -> Page:
    """The sample in the order in which it was drawn, and the verdicts."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        found = service.find_audit(conn, audit_id)
        rows = queries.sample(conn, found, after=query["cursor"], limit=limit + 1)
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


def _whole(audit_id: int) -> dict[str, Any]:
    with runtime().db.read() as conn:
        return whole(conn, audit_id)


def whole(conn: Connection, audit_id: int) -> dict[str, Any]:
    """An audit with all that belongs to it. Raises NotFound."""
    found = service.find_audit(conn, audit_id)
    return {
        **figures.summary(found),
        "rates": figures.figures(conn, found),
        "history": queries.events(conn, audit_id),
        "signatures": queries.signatures(conn, audit_id),
        "sent_back": return_queries.returns(conn, audit_id),
    }


def _every(query: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        after = found[-1]["id"] if found else None
        with runtime().db.read() as conn:
            rows = queries.audits(conn, state=query["verdict"], after=after, limit=CHUNK)
        found += [figures.summary(row) for row in rows]
        if len(rows) < CHUNK:
            return found
