"""Logging in and out, and what people see and change of themselves."""

from collections.abc import Callable
from typing import Any

from sqlalchemy.engine import Connection

from crowd.accounts import queries, service
from crowd.accounts.auth import (
    Actor,
    account,
    account_of,
    close_session,
    guess_allowed,
    open_session,
    optional_actor,
    requires_account,
)
from crowd.accounts.models import AccountKind
from crowd.accounts.names import normalise
from crowd.accounts.queries import Credentials
from crowd.accounts.schemas import (
    LoginSchema,
    MeSchema,
    NewTokenSchema,
    PasswordChangeSchema,
    PersonBriefSchema,
    TokenSchema,
)
from crowd.core.errors import Unauthorized, field_error
from crowd.core.http import Blueprint, Page, PageArgs, page, paged
from crowd.core.security import hash_password, needs_rehash, verify_password
from crowd.runtime import runtime

blueprint = Blueprint("accounts", __name__, description="Logging in, and oneself.")

# Filled by the rooms above when the application is wired: what else GET /me tells, ready for JSON.
ME_SECTIONS: dict[str, Callable[[Connection, Actor], object]] = {}


@blueprint.route("/login", methods=["POST"])
@blueprint.arguments(LoginSchema)
@blueprint.response(200, PersonBriefSchema)
@blueprint.doc(security=[])
def login(body: dict[str, Any]) -> Credentials:
    """Begin a session: sets the `session` and `csrf_token` cookies."""
    username = normalise(body["username"])
    with guess_allowed(username):
        with runtime().db.read() as conn:
            found = queries.credentials_named(conn, username)
        # No transaction is open meanwhile: a hash takes long.
        right = verify_password(found.password_hash if found else None, body["password"])
        if found is None or not right:
            raise Unauthorized("wrong_credentials", "User name and password do not belong together.")
    _refresh_hash(found, body["password"])
    open_session(found)
    return found


@blueprint.route("/logout", methods=["POST"])
@blueprint.response(204)
def logout() -> None:
    """End the session, if there is one."""
    optional_actor()
    close_session()


@blueprint.route("/me")
@requires_account
@blueprint.response(200, MeSchema)
def show_me() -> dict[str, Any]:
    """Oneself: grade, the stages one may pull, the leases one holds."""
    me = account()
    with runtime().db.read() as conn:
        sections = {name: section(conn, me) for name, section in ME_SECTIONS.items()}
    return {
        "id": me.id,
        "username": me.username,
        "grade": me.grade,
        "suspended": me.suspended,
        "kind": me.kind,
        "stages": runtime().policy.stages_for(me.grade),
        "sections": sections,
    }


@blueprint.route("/me/password", methods=["POST"])
@requires_account
@blueprint.arguments(PasswordChangeSchema)
@blueprint.response(204)
def change_password(body: dict[str, Any]) -> None:
    """Choose a new password; every other session ends, tokens stay."""
    me = account()
    with runtime().db.read() as conn:
        found = queries.credentials_of(conn, me.id)
    with guess_allowed(me.username):
        if not verify_password(found.password_hash if found else None, body["old"]):
            raise field_error("old", "Is not the present password.", code="wrong_password")
    password = service.choose_password(body["new"])
    with runtime().db.begin() as conn:
        service.change_password(conn, me.id, password)
        found = queries.credentials_of(conn, me.id)
    if me.via == "session" and found:
        open_session(found)


@blueprint.route("/me/tokens")
@requires_account
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(TokenSchema))
def list_tokens(query: dict[str, Any]) -> Page:
    """One's tokens that work, without the tokens themselves."""
    with runtime().db.read() as conn:
        rows = queries.tokens(conn, account().id, after=query["cursor"], limit=query["limit"] + 1)
    return page(rows, query["limit"], lambda row: row.id)


@blueprint.route("/me/tokens", methods=["POST"])
@requires_account
@blueprint.response(201, NewTokenSchema)
def add_token() -> dict[str, Any]:
    """A new token for oneself, shown this once."""
    account_of(*AccountKind)
    with runtime().db.begin() as conn:
        token_id, token = service.issue_token(conn, account().id)
    return {"id": token_id, "token": token}


@blueprint.route("/me/tokens/<int:token_id>", methods=["DELETE"])
@requires_account
@blueprint.response(204)
def drop_token(token_id: int) -> None:
    """Revoke one of one's tokens."""
    with runtime().db.begin() as conn:
        service.revoke_token(conn, account().id, token_id)


def _refresh_hash(found: Credentials, password: str) -> None:
    """Keep a hash with today's parameters, now that the password is at hand."""
    if found.password_hash and needs_rehash(found.password_hash):
        renewed = hash_password(password)
        with runtime().db.begin() as conn:
            queries.set_password_hash(conn, found.id, renewed, end_sessions=False)
