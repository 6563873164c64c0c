"""Answers that are looked at once more: appeals and probation; practice for whoever drifts"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0018"
down_revision: str | Sequence[str] | None = "0017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
)
MOMENT = sa.DateTime(timezone=True)

APPEND_ONLY = ("appeals", "appeal_decisions")
# In the order in which they may go.
TABLES = ("refreshers", "appeal_decisions", "appeals", "probations", "rechecks")


def upgrade() -> None:
    """Apply."""
    _rechecks()
    _probations()
    _appeals()
    _refreshers()
    for table in APPEND_ONLY:
        _make_append_only(table)


def downgrade() -> None:
    """Take back."""
    for table in TABLES:
        op.drop_table(table)


def _rechecks() -> None:
    op.create_table(
        "rechecks",
        sa.Column("id", ID, nullable=False),
        sa.Column("purpose", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("task_id", ID, nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("labels", JSON, nullable=True),
        sa.Column("opened_at", MOMENT, nullable=False),
        sa.Column("ripe_at", MOMENT, nullable=False),
        sa.Column("seat_id", ID, nullable=True),
        sa.Column("judge_id", ID, nullable=True),
        sa.Column("own_score", sa.SmallInteger(), nullable=True),
        sa.Column("score", sa.SmallInteger(), nullable=True),
        sa.Column("closed_at", MOMENT, nullable=True),
        _reference("rechecks", "image_id", "images"),
        _reference("rechecks", "task_id", "tasks"),
        _reference("rechecks", "worker_id", "workers"),
        _reference("rechecks", "seat_id", "tasks"),
        _reference("rechecks", "judge_id", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rechecks")),
        sa.UniqueConstraint("task_id", "purpose", name="uq_rechecks_answer"),
    )
    _partial("ix_rechecks_open", ["ripe_at", "id"], "state = 1")
    _partial("ix_rechecks_waiting", ["id"], "state = 0")
    _partial("ix_rechecks_compared", ["worker_id", "id"], "score IS NOT NULL")
    op.create_index("ix_rechecks_seat", "rechecks", ["seat_id"])


def _probations() -> None:
    op.create_table(
        "probations",
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("reviews", sa.Integer(), nullable=False),
        _reference("probations", "worker_id", "workers"),
        sa.PrimaryKeyConstraint("worker_id", name=op.f("pk_probations")),
    )


def _appeals() -> None:
    op.create_table(
        "appeals",
        sa.Column("id", ID, nullable=False),
        sa.Column("recheck_id", ID, nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("task_id", ID, nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        _reference("appeals", "recheck_id", "rechecks"),
        _reference("appeals", "worker_id", "workers"),
        _reference("appeals", "task_id", "tasks"),
        _reference("appeals", "image_id", "images"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_appeals")),
        sa.UniqueConstraint("recheck_id", name=op.f("uq_appeals_recheck_id")),
        sa.UniqueConstraint("task_id", name=op.f("uq_appeals_task_id")),
    )
    op.create_index("ix_appeals_worker", "appeals", ["worker_id", "id"])
    op.create_table(
        "appeal_decisions",
        sa.Column("appeal_id", ID, nullable=False),
        sa.Column("upheld", sa.Boolean(), nullable=False),
        sa.Column("by_id", ID, nullable=False),
        sa.Column("seat_id", ID, nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("withdrawn", JSON, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        _reference("appeal_decisions", "appeal_id", "appeals"),
        _reference("appeal_decisions", "by_id", "workers"),
        _reference("appeal_decisions", "seat_id", "tasks"),
        sa.PrimaryKeyConstraint("appeal_id", name=op.f("pk_appeal_decisions")),
    )


def _refreshers() -> None:
    op.create_table(
        "refreshers",
        sa.Column("id", ID, nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("why", JSON, nullable=False),
        sa.Column("offered_at", MOMENT, nullable=False),
        sa.Column("done_at", MOMENT, nullable=True),
        _reference("refreshers", "worker_id", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refreshers")),
    )
    is_open = sa.text("done_at IS NULL")
    op.create_index(
        "uq_refreshers_open",
        "refreshers",
        ["worker_id", "stage"],
        unique=True,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.create_index("ix_refreshers_worker", "refreshers", ["worker_id", "stage", "offered_at"])


def _partial(name: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "rechecks", columns, sqlite_where=where, postgresql_where=where)


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
