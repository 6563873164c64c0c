"""People come in, get tokens and passwords, and are erased. Who may do it is decided above."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts import queries
from crowd.accounts.models import AccountKind
from crowd.accounts.names import name_fault, normalise, password_fault, pseudonym
from crowd.accounts.queries import Person
from crowd.core.clock import now
from crowd.core.errors import Conflict, NotFound, field_error
from crowd.core.security import digest, hash_password, new_password, new_secret
from crowd.policy import Grade


@dataclass(frozen=True, slots=True)
class NewPassword:
    """A password and its hash, made before the transaction that keeps the hash: hashing is slow."""

    text: str
    hash: str


def make_password() -> NewPassword:
    """A random password."""
    text = new_password()
    return NewPassword(text, hash_password(text))


def choose_password(text: str, path: str = "new") -> NewPassword:
    """A password somebody chose. Raises a 422 about `path` if it is too short or too long."""
    if fault := password_fault(text):
        raise field_error(path, fault)
    return NewPassword(text, hash_password(text))


def create_worker(
    conn: Connection,
    username: str,
    grade: Grade,
    password: NewPassword | None,
    kind: AccountKind = AccountKind.CROWD,
) -> Person:
    """A new person. Raises a 422 about `username`, or Conflict `username_taken`."""
    name = normalise(username)
    if fault := name_fault(name):
        raise field_error("username", fault)
    at = now()
    try:
        worker_id = queries.insert_worker(conn, name, grade, password.hash if password else None, at, kind)
    except sa.exc.IntegrityError:
        raise Conflict("username_taken", f"The name {name} is taken.") from None
    return Person(worker_id, name, grade, at, suspended=False, erased=False, kind=kind)


def find_person(conn: Connection, worker_id: int) -> Person:
    """The person of that id. Raises NotFound."""
    found = queries.person(conn, worker_id)
    if found is None:
        raise NotFound("not_found", f"There is no worker {worker_id}.")
    return found


def find_person_named(conn: Connection, username: str) -> Person:
    """The person of that name. Raises NotFound."""
    found = queries.person_named(conn, normalise(username))
    if found is None:
        raise NotFound("not_found", f"There is no worker called {username}.")
    return found


def change_password(conn: Connection, worker_id: int, password: NewPassword) -> None:
    """Keep a new password; every session opened before ends, tokens stay."""
    queries.set_password_hash(conn, worker_id, password.hash, end_sessions=True)


def issue_token(conn: Connection, worker_id: int) -> tuple[int, str]:
    """A new API token: its id, and the token itself, which is known this once.

    Raises NotFound, and Conflict `erased`.
    """
    if find_person(conn, worker_id).erased:
        raise Conflict("erased", "This person has been erased.")
    token = new_secret()
    return queries.insert_token(conn, worker_id, digest(token), now()), token


def revoke_token(conn: Connection, worker_id: int, token_id: int) -> None:
    """Make one of a person's tokens useless; again is no error. Raises NotFound."""
    if not queries.revoke_token(conn, worker_id, token_id, now()):
        raise NotFound("not_found", f"There is no token {token_id}.")


def erase_person(conn: Connection, worker_id: int) -> None:
    """Take name, password, sessions and tokens away; what the person did stays, under a pseudonym."""
    queries.delete_tokens(conn, worker_id)
    queries.erase_worker(conn, worker_id, pseudonym(worker_id), now())
