"""Steering people: who comes in, who is moved, suspended, reinstated or erased."""

from dataclasses import replace
from typing import Any

from crowd.accounts import queries as people
from crowd.accounts import service as accounts
from crowd.accounts.auth import actor, own_or_admin, requires_grade, requires_login
from crowd.accounts.queries import Person
from crowd.accounts.schemas import NewTokenSchema, TokenSchema
from crowd.core.http import Blueprint, Page, PageArgs, page, paged
from crowd.policy import Grade
from crowd.runtime import runtime
from crowd.tiers import queries, service
from crowd.tiers.schemas import (
    HistorySchema,
    NewWorkerSchema,
    ReasonSchema,
    RegradeSchema,
    WelcomeSchema,
    WorkerPageArgs,
    WorkerSchema,
)

blueprint = Blueprint("tiers", __name__, description="People, their grades and standing.")

admins_only = requires_grade(Grade.ADMIN)


@blueprint.route("/workers", methods=["POST"])
@admins_only
@blueprint.arguments(NewWorkerSchema)
@blueprint.response(201, WelcomeSchema)
def add_worker(body: dict[str, Any]) -> dict[str, Any]:
    """A new person, with a token and a password that are shown this once."""
    password = accounts.make_password()
    with runtime().db.begin() as conn:
        person = service.join(conn, body["username"], body["grade"], by=actor(), password=password)
        _, token = accounts.issue_token(conn, person.id)
    return {
        "id": person.id,
        "username": person.username,
        "grade": person.grade,
        "token": token,
        "password": password.text,
    }


@blueprint.route("/workers")
@admins_only
@blueprint.arguments(WorkerPageArgs, location="query")
@blueprint.response(200, paged(WorkerSchema))
def list_workers(query: dict[str, Any]) -> Page:
    """Everybody, or everybody of a grade."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = people.people(conn, after=query["cursor"], limit=limit + 1, grade=query["grade"])
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/workers/<int:worker_id>")
@requires_login
@blueprint.response(200, WorkerSchema)
def show_worker(worker_id: int) -> Person:
    """One person: for admins, and for oneself."""
    own_or_admin(worker_id)
    with runtime().db.read() as conn:
        return accounts.find_person(conn, worker_id)


@blueprint.route("/workers/<int:worker_id>/grade", methods=["POST"])
@admins_only
@blueprint.arguments(RegradeSchema)
@blueprint.response(200, WorkerSchema)
def regrade(body: dict[str, Any], worker_id: int) -> Person:
    """Move a person to another grade."""
    with runtime().db.begin() as conn:
        return service.regrade(conn, worker_id, body["grade"], by=actor(), reason=body["reason"])


@blueprint.route("/workers/<int:worker_id>/grades")
@requires_login
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(HistorySchema))
def show_history(query: dict[str, Any], worker_id: int) -> Page:
    """The history of a person's standing, oldest first: for admins, and for oneself."""
    caller = own_or_admin(worker_id)
    with runtime().db.read() as conn:
        accounts.find_person(conn, worker_id)
        rows = queries.history(conn, worker_id, after=query["cursor"], limit=query["limit"] + 1)
    if not caller.sees_all:
        rows = [replace(row, by=None, evidence=None) for row in rows]
    return page(rows, query["limit"], lambda row: row.id)


@blueprint.route("/workers/<int:worker_id>/suspend", methods=["POST"])
@admins_only
@blueprint.arguments(ReasonSchema)
@blueprint.response(200, WorkerSchema)
def suspend(body: dict[str, Any], worker_id: int) -> Person:
    """Keep a person from working; what they hold goes back to the queue."""
    with runtime().db.begin() as conn:
        return service.suspend(conn, worker_id, by=actor(), reason=body["reason"])


@blueprint.route("/workers/<int:worker_id>/reinstate", methods=["POST"])
@admins_only
@blueprint.arguments(ReasonSchema)
@blueprint.response(200, WorkerSchema)
def reinstate(body: dict[str, Any], worker_id: int) -> Person:
    """Let a suspended person work again."""
    with runtime().db.begin() as conn:
        return service.reinstate(conn, worker_id, by=actor(), reason=body["reason"])


@blueprint.route("/workers/<int:worker_id>/erase", methods=["POST"])
@admins_only
@blueprint.arguments(ReasonSchema)
@blueprint.response(200, WorkerSchema)
def erase(body: dict[str, Any], worker_id: int) -> Person:
    """Erase a person's data for good; the history stays, under a pseudonym."""
    with runtime().db.begin() as conn:
        return service.erase(conn, worker_id, by=actor(), reason=body["reason"])


@blueprint.route("/workers/<int:worker_id>/tokens")
@admins_only
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(TokenSchema))
def list_tokens(query: dict[str, Any], worker_id: int) -> Page:
    """A person's tokens that work, without the tokens themselves."""
    with runtime().db.read() as conn:
        accounts.find_person(conn, worker_id)
        rows = people.tokens(conn, worker_id, after=query["cursor"], limit=query["limit"] + 1)
    return page(rows, query["limit"], lambda row: row.id)


@blueprint.route("/workers/<int:worker_id>/tokens", methods=["POST"])
@admins_only
@blueprint.response(201, NewTokenSchema)
def add_token(worker_id: int) -> dict[str, Any]:
    """A new token for a person, shown this once."""
    with runtime().db.begin() as conn:
        token_id, token = accounts.issue_token(conn, worker_id)
    return {"id": token_id, "token": token}


@blueprint.route("/workers/<int:worker_id>/tokens/<int:token_id>", methods=["DELETE"])
@admins_only
@blueprint.response(204)
def drop_token(worker_id: int, token_id: int) -> None:
    """Revoke one of a person's tokens."""
    with runtime().db.begin() as conn:
        accounts.revoke_token(conn, worker_id, token_id)
