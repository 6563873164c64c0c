"""Notices over HTTP: admins write them, people read those that are for them."""

from typing import Any

from sqlalchemy.engine import Connection

from crowd.accounts.auth import Actor, actor, requires_login
from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.http import Blueprint, Page, PageArgs, page, paged
from crowd.runtime import runtime
from crowd.steering import notices, queries
from crowd.steering.api import admins_only
from crowd.steering.notices import Reader
from crowd.steering.schemas import (
    EndNoticeSchema,
    NewNoticeSchema,
    NoticeArgs,
    NoticeSchema,
    SentNoticeSchema,
)

blueprint = Blueprint("notices", __name__, description="What people are told.")


@blueprint.route("/notices", methods=["POST"])
@admins_only
@blueprint.arguments(NewNoticeSchema)
@blueprint.response(201, SentNoticeSchema)
def send(body: dict[str, Any]) -> AnyRow:
    """Tell people of a grade, a stage or a group something; all of them hold that are given."""
    with runtime().db.begin() as conn:
        return notices.send(conn, body, by=actor().id, now=clock.now())


@blueprint.route("/notices")
@requires_login
@blueprint.arguments(NoticeArgs, location="query")
@blueprint.response(200, paged(NoticeSchema))
def list_notices(query: dict[str, Any]) -> Page:
    """What is for the caller, newest first, until it expires."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = notices.listen(
            conn, _reader(actor()), before=query["cursor"], limit=limit + 1, only_unread=query["unread"]
        )
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/notices/sent")
@admins_only
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(SentNoticeSchema))
def list_sent(query: dict[str, Any]) -> Page:
    """Every notice, newest first, and how many have read it."""
    with runtime().db.read() as conn:
        rows = queries.sent(conn, query["cursor"], query["limit"] + 1)
    return page(rows, query["limit"], lambda row: row.id)


@blueprint.route("/notices/<int:notice_id>/read", methods=["POST"])
@requires_login
@blueprint.response(204)
def read(notice_id: int) -> None:
    """The caller has read it."""
    with runtime().db.begin() as conn:
        notices.read(conn, _reader(actor()), notice_id)


@blueprint.route("/notices/<int:notice_id>/end", methods=["POST"])
@admins_only
@blueprint.arguments(EndNoticeSchema)
@blueprint.response(200, SentNoticeSchema)
def end(body: dict[str, Any], notice_id: int) -> AnyRow:
    """Take a notice back before it expires."""
    with runtime().db.begin() as conn:
        return notices.end(conn, notice_id, by=actor().id, reason=body["reason"], now=clock.now())


def notices_section(conn: Connection, me: Actor) -> dict[str, int]:
    """The part of GET /me that tells whether there is something to read."""
    return {"unread": notices.unread(conn, _reader(me))}


def _reader(me: Actor) -> Reader:
    return Reader(me, runtime().policy, clock.now())
