"""Tables of people and their API tokens."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, BigId, Coded, UtcDateTime
from crowd.policy import Grade

GRADE = Coded(Grade)


class AccountKind(StrEnum):
    """What an account is for. Only the crowd has grades; the others are trainees, who may do nothing.

    An auditor comes from outside: looks at everything and changes nothing.
    """

    CROWD = "crowd"
    SUPPLIER = "supplier"
    REFINER = "refiner"
    AUDITOR = "auditor"


ACCOUNT_KIND = Coded(AccountKind)


class Worker(Base):
    """A person of the crowd, of whatever grade. Never deleted: erasing takes the name away."""

    __tablename__ = "workers"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    username: Mapped[str] = mapped_column(sa.String(64), unique=True)
    password_hash: Mapped[str | None] = mapped_column(sa.String(255))
    grade: Mapped[Grade] = mapped_column(GRADE)
    # Raised by a new password: sessions opened with the old one end.
    session_version: Mapped[int] = mapped_column(default=1, server_default="1")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    suspended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    erased_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    kind: Mapped[AccountKind] = mapped_column(ACCOUNT_KIND, default=AccountKind.CROWD, server_default="0")

    __table_args__ = (sa.Index("ix_workers_grade", "grade"),)


class ApiToken(Base):
    """A bearer token, kept only as the SHA-256 of its 256 random bits."""

    __tablename__ = "api_tokens"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"), index=True)
    digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class GroupKind(StrEnum):
    """What sort of group people work in."""

    SCHOOL = "school"
    CROWD = "crowd"
    INSTITUTE = "institute"


class Group(Base):
    """An institution or group that people belong to."""

    __tablename__ = "groups"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    kind: Mapped[GroupKind] = mapped_column(Coded(GroupKind))
    name: Mapped[str] = mapped_column(sa.String(200), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # None: the command line of the installation itself.
    created_by: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))


class Membership(Base):
    """From `at` on a person belongs to this group (null: to none), until their next row. Append-only."""

    __tablename__ = "memberships"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    group_id: Mapped[int | None] = mapped_column(sa.ForeignKey("groups.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    reason: Mapped[str] = mapped_column(sa.Text)

    __table_args__ = (
        sa.Index("ix_memberships_worker", "worker_id", "id"),
        sa.Index("ix_memberships_group", "group_id", "worker_id"),
    )
