"""The admin that simulated crowds work under: made for a run, and of no use to anybody after it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from sqlalchemy.engine import Connection

from crowd.accounts import queries as people
from crowd.accounts import service as accounts
from crowd.commands.opening import open_runtime
from crowd.core.errors import Conflict
from crowd.policy import Grade
from crowd.tiers import service as tiers

ADMIN = "simulation-admin"
_REASON = "runs simulated crowds"
_OVER = "the simulated crowd has ended"
_ENDED_BY_SIGNAL = 128


def admin_token() -> str:
    """A new token of the installation's own simulation admin, who is made if need be, and stays.

    For systems that end with the run; `passing_admin` is for all others.
    """
    with open_runtime() as rt, rt.db.begin() as conn:
        return _take_on(conn)[2]


@contextmanager
def passing_admin() -> Iterator[str]:
    """A token that is good for the time of the block, however that ends: by itself, by an error, by Ctrl-C.

    Afterwards the token is revoked, and the account suspended unless another run still has one. The only
    admin there is stays one, as ever, but without a token or password nobody can be them.
    """
    worker_id = token_id = None
    with _asked_to_end():
        try:
            with open_runtime() as rt, rt.db.begin() as conn:
                worker_id, token_id, token = _take_on(conn)
            yield token
        finally:
            if worker_id is not None and token_id is not None:
                with _undisturbed(), open_runtime() as rt, rt.db.begin() as conn:
                    _dismiss(conn, worker_id, token_id)


def _take_on(conn: Connection) -> tuple[int, int, str]:
    person = people.person_named(conn, ADMIN)
    if person is None:
        person = tiers.join(conn, ADMIN, Grade.ADMIN, by=None, reason=_REASON)
    else:
        # Locks the standing of admins: a run that ends meanwhile has left, or sees this one's token.
        tiers.reinstate(conn, person.id, by=None, reason=_REASON)
    return person.id, *accounts.issue_token(conn, person.id)


def _dismiss(conn: Connection, worker_id: int, token_id: int) -> None:
    people.lock_standing(conn, worker_id)
    accounts.revoke_token(conn, worker_id, token_id)
    if people.tokens(conn, worker_id, limit=1):
        return
    try:
        tiers.suspend(conn, worker_id, by=None, reason=_OVER)
    except Conflict as refused:
        if refused.code != "last_admin":
            raise


@contextmanager
def _asked_to_end() -> Iterator[None]:
    """What a service manager sends ends the block as Ctrl-C does, instead of the process at once."""

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(_ENDED_BY_SIGNAL + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Whoever presses Ctrl-C twice waits for the end of the block."""
    before = {each: signal.signal(each, signal.SIG_IGN) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
