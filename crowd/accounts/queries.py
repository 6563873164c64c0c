"""Every SQL statement about people and their tokens."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import AccountKind, ApiToken, Worker
from crowd.core.statements import Statement
from crowd.policy import Grade


@dataclass(frozen=True, slots=True)
class Person:
    """A person as the other rooms may see one."""

    id: int
    username: str
    grade: Grade
    created_at: datetime
    suspended: bool
    erased: bool
    kind: AccountKind = AccountKind.CROWD


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a login is checked against."""

    id: int
    username: str
    grade: Grade
    suspended: bool
    session_version: int
    password_hash: str | None
    kind: AccountKind


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token's row, without the token."""

    id: int
    created_at: datetime


PERSON_COLUMNS = (
    Worker.id,
    Worker.username,
    Worker.grade,
    Worker.created_at,
    Worker.suspended_at.is_not(None).label("suspended"),
    Worker.erased_at.is_not(None).label("erased"),
    Worker.kind,
)
_CREDENTIALS = sa.select(
    Worker.id,
    Worker.username,
    Worker.grade,
    Worker.suspended_at.is_not(None).label("suspended"),
    Worker.session_version,
    Worker.password_hash,
    Worker.kind,
).where(Worker.erased_at.is_(None))


def person(conn: Connection, worker_id: int) -> Person | None:
    """The person of that id."""
    row = conn.execute(sa.select(*PERSON_COLUMNS).where(Worker.id == worker_id)).one_or_none()
    return Person(**row._mapping) if row else None


def person_named(conn: Connection, username: str) -> Person | None:
    """The person of that (normalised) name."""
    row = conn.execute(sa.select(*PERSON_COLUMNS).where(Worker.username == username)).one_or_none()
    return Person(**row._mapping) if row else None


def people(
    conn: Connection, *, after: int | None = None, limit: int, grade: Grade | None = None
) -> list[Person]:
    """Up to `limit` people of the crowd with an id beyond `after`, in the order of their ids."""
    query = (
        sa.select(*PERSON_COLUMNS).where(Worker.kind == AccountKind.CROWD).order_by(Worker.id).limit(limit)
    )
    if after is not None:
        query = query.where(Worker.id > after)
    if grade is not None:
        query = query.where(Worker.grade == grade)
    return [Person(**row._mapping) for row in conn.execute(query)]


# Every request asks one of these: they are built once.
_BY_NAME = Statement(_CREDENTIALS.where(Worker.username == sa.bindparam("named", type_=Worker.username.type)))
_BY_ID = Statement(_CREDENTIALS.where(Worker.id == sa.bindparam("of_worker", type_=Worker.id.type)))
_BY_TOKEN = Statement(
    _CREDENTIALS.join(ApiToken, ApiToken.worker_id == Worker.id).where(
        ApiToken.digest == sa.bindparam("with_digest", type_=ApiToken.digest.type),
        ApiToken.revoked_at.is_(None),
    )
)


def credentials_named(conn: Connection, username: str) -> Credentials | None:
    """What a login with this (normalised) name is checked against; None for nobody and for the erased."""
    return _credentials(conn, _BY_NAME, {"named": username})


def credentials_of(conn: Connection, worker_id: int) -> Credentials | None:
    """The same by id."""
    return _credentials(conn, _BY_ID, {"of_worker": worker_id})


def credentials_by_token(conn: Connection, digest: bytes) -> Credentials | None:
    """Whom a token that is not revoked belongs to, by its SHA-256."""
    return _credentials(conn, _BY_TOKEN, {"with_digest": digest})


def _credentials(conn: Connection, statement: Statement, by: dict[str, Any]) -> Credentials | None:
    row = statement.run(conn, by).one_or_none()
    return Credentials(**row._mapping) if row else None


def insert_worker(
    conn: Connection,
    username: str,
    grade: Grade,
    password_hash: str | None,
    at: datetime,
    kind: AccountKind = AccountKind.CROWD,
) -> int:
    """A new person's id. Raises IntegrityError if the name is taken."""
    statement = sa.insert(Worker).values(
        username=username, grade=grade, password_hash=password_hash, created_at=at, kind=kind
    )
    return int(conn.execute(statement.returning(Worker.id)).scalar_one())


def set_password_hash(conn: Connection, worker_id: int, password_hash: str, *, end_sessions: bool) -> None:
    """Keep another hash; with `end_sessions` every session opened before ends."""
    values: dict[str, object] = {"password_hash": password_hash}
    if end_sessions:
        values["session_version"] = Worker.session_version + 1
    conn.execute(sa.update(Worker).where(Worker.id == worker_id).values(values))


def set_grade(conn: Connection, worker_id: int, grade: Grade) -> None:
    """Move a person to `grade`."""
    conn.execute(sa.update(Worker).where(Worker.id == worker_id).values(grade=grade))


def set_suspended(conn: Connection, worker_id: int, at: datetime | None) -> None:
    """Suspend a person as of `at`, or (None) reinstate."""
    conn.execute(sa.update(Worker).where(Worker.id == worker_id).values(suspended_at=at))


def erase_worker(conn: Connection, worker_id: int, username: str, at: datetime) -> None:
    """Take name and password away and end every session; the row stays for the history."""
    conn.execute(
        sa.update(Worker)
        .where(Worker.id == worker_id)
        .values(
            username=username,
            password_hash=None,
            session_version=Worker.session_version + 1,
            erased_at=at,
        )
    )


def insert_token(conn: Connection, worker_id: int, digest: bytes, at: datetime) -> int:
    """A new token's id."""
    statement = sa.insert(ApiToken).values(worker_id=worker_id, digest=digest, created_at=at)
    return int(conn.execute(statement.returning(ApiToken.id)).scalar_one())


def tokens(conn: Connection, worker_id: int, *, after: int | None = None, limit: int) -> list[TokenRow]:
    """Up to `limit` of a person's tokens that work, with an id beyond `after`."""
    query = (
        sa.select(ApiToken.id, ApiToken.created_at)
        .where(ApiToken.worker_id == worker_id, ApiToken.revoked_at.is_(None))
        .order_by(ApiToken.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(ApiToken.id > after)
    return [TokenRow(**row._mapping) for row in conn.execute(query)]


def revoke_token(conn: Connection, worker_id: int, token_id: int, at: datetime) -> bool:
    """Revoke one of a person's tokens; False if there is none of that id. Again is no error."""
    own = sa.and_(ApiToken.id == token_id, ApiToken.worker_id == worker_id)
    statement = sa.update(ApiToken).where(own)
    result = conn.execute(statement.values(revoked_at=sa.func.coalesce(ApiToken.revoked_at, at)))
    return result.rowcount == 1


def delete_tokens(conn: Connection, worker_id: int) -> None:
    """Forget every token of a person."""
    conn.execute(sa.delete(ApiToken).where(ApiToken.worker_id == worker_id))


def lock_standing(conn: Connection, worker_id: int) -> list[Person]:
    """The active admins and the person of that id, locked until the transaction ends.

    In the order of ids, so that two who lock at once wait for each other and never deadlock.
    Not FOR UPDATE: rows that refer to these people may go on being written meanwhile.
    """
    active_admin = sa.and_(
        Worker.grade == Grade.ADMIN, Worker.suspended_at.is_(None), Worker.erased_at.is_(None)
    )
    query = (
        sa.select(*PERSON_COLUMNS)
        .where(sa.or_(active_admin, Worker.id == worker_id))
        .order_by(Worker.id)
        .with_for_update(key_share=True)
    )
    return [Person(**row._mapping) for row in conn.execute(query)]
