"""Flags about people's answers, and every step of each"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0008"
down_revision: str | Sequence[str] | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
)
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "flags",
        sa.Column("id", ID, nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=True),
        sa.Column("code", sa.SmallInteger(), nullable=False),
        sa.Column("evidence", JSON, nullable=False),
        sa.Column("opened_at", MOMENT, nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("decided_at", MOMENT, nullable=True),
        sa.Column("decided_by", ID, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        _reference("flags", "worker_id", "workers"),
        _reference("flags", "decided_by", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flags")),
    )
    op.create_index("ix_flags_worker", "flags", ["worker_id", "id"])
    op.create_index("ix_flags_state", "flags", ["state", "id"])
    _unique("uq_flags_open", ["worker_id", "stage", "code"], "state = 0 AND stage IS NOT NULL")
    _unique("uq_flags_open_anywhere", ["worker_id", "code"], "state = 0 AND stage IS NULL")
    op.create_table(
        "flag_events",
        sa.Column("id", ID, nullable=False),
        sa.Column("flag_id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("what", sa.SmallInteger(), nullable=False),
        sa.Column("actor_id", ID, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", JSON, nullable=True),
        _reference("flag_events", "flag_id", "flags"),
        _reference("flag_events", "actor_id", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flag_events")),
    )
    op.create_index(op.f("ix_flag_events_flag_id"), "flag_events", ["flag_id"])
    _make_append_only("flag_events")


def downgrade() -> None:
    """Take back."""
    op.drop_table("flag_events")
    op.drop_table("flags")


def _unique(name: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "flags", columns, unique=True, sqlite_where=where, postgresql_where=where)


def _reference(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=op.f(f"fk_{table}_{column}_{other}"))


def _make_append_only(table: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        return
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
