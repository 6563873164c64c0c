"""Who is calling: by token or by session, within the limits, and safe from forged writes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, TypeVar, cast

import flask_login
from flask import Flask, Request, Response, after_this_request, current_app, g, request, session

from crowd.accounts import queries
from crowd.accounts.models import AccountKind
from crowd.accounts.queries import Credentials
from crowd.core.errors import Forbidden, Unauthorized
from crowd.core.limits import Counters, LoginThrottle, RequestLimit
from crowd.core.security import digest, new_secret, same, warm_up
from crowd.policy import Grade
from crowd.runtime import Runtime, runtime

F = TypeVar("F", bound=Callable[..., Any])

EXTENSION = "crowd.accounts"
CSRF_COOKIE, CSRF_HEADER, CSRF_KEY = "csrf_token", "X-CSRF-Token", "csrf"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# All that an auditor may write, by endpoint: about the own login; the room of audits adds the signature.
AUDITORS_WRITE = {"accounts.logout", "accounts.change_password"}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is calling, as known when the request came in."""

    id: int
    username: str
    grade: Grade
    suspended: bool
    via: Literal["token", "session"]
    kind: AccountKind = AccountKind.CROWD

    @property
    def is_admin(self) -> bool:
        """Whether the caller is an admin in good standing."""
        return self.grade is Grade.ADMIN and not self.suspended

    @property
    def sees_all(self) -> bool:
        """Whether nothing is hidden from the caller: an admin or an auditor, in good standing."""
        return self.is_admin or (self.kind is AccountKind.AUDITOR and not self.suspended)


class _User:
    """What Flask-Login wants to know about an actor."""

    is_authenticated = is_active = True
    is_anonymous = False

    def __init__(self, found: Credentials, via: Literal["token", "session"]) -> None:
        self.actor = Actor(found.id, found.username, found.grade, found.suspended, via, found.kind)
        self._id = f"{found.id}:{found.session_version}"

    def get_id(self) -> str:
        return self._id


@dataclass(frozen=True, slots=True)
class _Limits:
    requests: RequestLimit
    logins: LoginThrottle


def install_auth(app: Flask, rt: Runtime) -> None:
    """Have `app` know its callers."""
    policy = rt.policy
    counters = Counters(rt.settings.redis_url)
    app.extensions[EXTENSION] = _Limits(
        requests=RequestLimit(counters, rt.settings.requests_per_minute or policy.requests_per_minute),
        logins=LoginThrottle(
            counters,
            per_account=policy.login_failures_per_minute,
            per_address=policy.login_failures_per_address,
        ),
    )
    manager = flask_login.LoginManager(app, add_context_processor=False)
    # It would tie a session to an address, and people's addresses change.
    manager.session_protection = None
    manager.user_loader(_load_from_session)
    manager.request_loader(_load_from_token)
    warm_up()


def optional_actor() -> Actor | None:
    """Who is calling, or None. Raises TooMany, and Forbidden `csrf` for a forged write."""
    if "actor" not in g:
        g.actor = _identify()
    return cast(Actor | None, g.actor)


def account() -> Actor:
    """Who is calling, of whatever kind. Raises Unauthorized, TooMany, and Forbidden `csrf`."""
    found = optional_actor()
    if found is None:
        raise Unauthorized("unauthorized", "Log in, or send a valid token.")
    return found


def actor() -> Actor:
    """Who is calling, if that is somebody of the crowd, or an auditor who reads.

    Raises Forbidden `account_kind` too.
    """
    found = account()
    if found.kind is not AccountKind.CROWD and not _only_reads(found):
        raise Forbidden("account_kind", f"This is not for the accounts of a {found.kind}.")
    return found


def active_actor() -> Actor:
    """Who is calling, if not suspended. Raises Forbidden `suspended` too."""
    found = actor()
    if found.suspended:
        raise Forbidden("suspended", "This account is suspended.")
    return found


def actor_of(*grades: Grade) -> Actor:
    """Who is calling, if not suspended and of one of these grades. Raises Forbidden `grade` too.

    What admins read, auditors read.
    """
    found = active_actor()
    if found.grade not in grades and not (Grade.ADMIN in grades and _only_reads(found)):
        raise Forbidden("grade", f"This is for {' and '.join(grades)} only.")
    return found


def own_or_admin(worker_id: int) -> Actor:
    """Who is calling, if that is the person concerned or an admin. Raises Forbidden `grade` too."""
    found = actor()
    if found.id != worker_id and not found.sees_all:
        raise Forbidden("grade", "This is for admins, and for oneself.")
    return found


def account_of(*kinds: AccountKind) -> Actor:
    """Who is calling, if that is an active account of these kinds, an admin, or an auditor who reads.

    Raises Forbidden `suspended` and `account_kind` too.
    """
    found = account()
    if found.suspended:
        raise Forbidden("suspended", "This account is suspended.")
    if found.kind not in kinds and not found.is_admin and not _only_reads(found):
        raise Forbidden("account_kind", f"This is for accounts of a {' or '.join(kinds)}, and for admins.")
    return found


def requires_account(view: F) -> F:
    """Anybody known, of whatever kind: for what concerns one's own account."""
    return _guarded(view, account)


def requires_kind(*kinds: AccountKind) -> Callable[[F], F]:
    """Only active accounts of these kinds, and admins."""
    return lambda view: _guarded(view, lambda: account_of(*kinds))


def requires_login(view: F) -> F:
    """Anybody known, the suspended too. Stands above `arguments`: 401 comes before 422."""
    return _guarded(view, actor)


def requires_active(view: F) -> F:
    """Anybody known who is not suspended."""
    return _guarded(view, active_actor)


def requires_grade(*grades: Grade) -> Callable[[F], F]:
    """Only people of these grades who are not suspended."""
    return lambda view: _guarded(view, lambda: actor_of(*grades))


def guess_allowed(account: str) -> Any:
    """The block in which a password for `account` is tried; see LoginThrottle.guess."""
    return _limits().logins.guess(account, request.remote_addr)


def open_session(found: Credentials) -> None:
    """Begin a session for `found`; whatever session there was ends."""
    session.clear()
    session.permanent = True
    session[CSRF_KEY] = new_secret()
    flask_login.login_user(_User(found, "session"))
    after_this_request(_hand_out_csrf)


def close_session() -> None:
    """End the session, if there is one."""
    flask_login.logout_user()
    session.clear()
    after_this_request(_take_back_csrf)


def _guarded(view: F, guard: Callable[[], Actor]) -> F:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        guard()
        return view(*args, **kwargs)

    return cast(F, guarded)


def _limits() -> _Limits:
    found: _Limits = current_app.extensions[EXTENSION]
    return found


def _identify() -> Actor | None:
    user = flask_login.current_user
    if not user.is_authenticated:
        return None
    found: Actor = user.actor
    _limits().requests.count(found.id)
    if found.via == "session":
        _check_csrf()
    writes = request.method not in SAFE_METHODS and request.endpoint not in AUDITORS_WRITE
    # Here rather than at each view: a new one is closed to auditors without anybody thinking of it.
    if writes and found.kind is AccountKind.AUDITOR:
        raise Forbidden("read_only", "Auditors look at everything and change nothing.")
    return found


def _only_reads(found: Actor) -> bool:
    return found.kind is AccountKind.AUDITOR and request.method in SAFE_METHODS


def _check_csrf() -> None:
    """A write must show that its sender can read our cookie, which another site's page cannot."""
    if request.method in SAFE_METHODS:
        if request.cookies.get(CSRF_COOKIE) != session.get(CSRF_KEY):
            after_this_request(_hand_out_csrf)
        return
    if not same(request.headers.get(CSRF_HEADER, ""), session.get(CSRF_KEY) or new_secret()):
        raise Forbidden("csrf", f"{CSRF_HEADER} must carry the {CSRF_COOKIE} cookie's value.")


def _bearer(incoming: Request) -> str | None:
    """The bearer token of a request; None if it has no Authorization header of that kind."""
    kind, _, token = incoming.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def _load_from_session(user_id: str) -> _User | None:
    # A token that was sent counts, even a wrong one: a script must not act as whoever is logged in.
    if _bearer(request) is not None:
        return None
    worker_id, _, version = user_id.partition(":")
    with runtime().db.read() as conn:
        found = queries.credentials_of(conn, int(worker_id))
    if found is None or str(found.session_version) != version:
        return None
    return _User(found, "session")


def _load_from_token(incoming: Request) -> _User | None:
    token = _bearer(incoming)
    if not token:
        return None
    with runtime().db.read() as conn:
        found = queries.credentials_by_token(conn, digest(token))
    return _User(found, "token") if found else None


def _hand_out_csrf(response: Response) -> Response:
    config = current_app.config
    response.set_cookie(
        CSRF_COOKIE,
        session[CSRF_KEY],
        max_age=int(current_app.permanent_session_lifetime.total_seconds()),
        secure=config["SESSION_COOKIE_SECURE"],
        httponly=False,
        samesite=config["SESSION_COOKIE_SAMESITE"],
    )
    return response


def _take_back_csrf(response: Response) -> Response:
    response.delete_cookie(CSRF_COOKIE)
    return response
