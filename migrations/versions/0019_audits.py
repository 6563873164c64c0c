"""The final audit: samples of lots, verdicts on them, signatures, and what goes back"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from crowd.core.db import Json, UtcDateTime

revision: str = "0019"
down_revision: str | Sequence[str] | None = "0018"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
APPEND_ONLY = ("audit_events", "audit_signatures")
# In the order in which they may go.
TABLES = ("audit_returns", "audit_signatures", "audit_events", "audit_images", "audits")
# Name, table, columns, condition, whether unique.
PARTIAL = (
    ("uq_audits_standing", "audits", ["scope"], "ended_at IS NULL", True),
    ("ix_audits_dealing", "audits", ["id"], "dealing", False),
    ("ix_audits_passed", "audits", ["id"], "state = 1", False),
    ("uq_audit_images_task", "audit_images", ["task_id"], "task_id IS NOT NULL", True),
    ("ix_audit_images_waiting", "audit_images", ["audit_id", "place"], "settled_at IS NULL", False),
    ("uq_audit_returns_pending", "audit_returns", ["audit_id"], "finished_at IS NULL", True),
    ("ix_audit_returns_due", "audit_returns", ["run_after"], "run_after IS NOT NULL", False),
)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "audits",
        sa.Column("id", ID, nullable=False),
        sa.Column("scope", sa.String(length=60), nullable=False),
        sa.Column("supplier_id", ID, nullable=True),
        sa.Column("batch_id", ID, nullable=True),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("lot", "size")),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("confidence", "tolerable_rate")),
        sa.Column("allowed_wrong", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("seed", "last_event_id")),
        sa.Column("drawn_at", UtcDateTime(), nullable=False),
        sa.Column("drawn_by", ID, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("dealing", sa.Boolean(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("judged", "wrong", "void")),
        *(sa.Column(name, UtcDateTime(), nullable=True) for name in ("decided_at", "ended_at")),
        sa.CheckConstraint(
            "wrong <= judged AND judged <= size AND size <= lot", name=op.f("ck_audits_sizes")
        ),
        _reference("audits", "supplier_id", "suppliers"),
        _reference("audits", "batch_id", "batches"),
        _reference("audits", "drawn_by", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audits")),
    )
    op.create_table(
        "audit_images",
        sa.Column("audit_id", ID, nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("round", sa.SmallInteger(), nullable=False),
        sa.Column("task_id", ID, nullable=True),
        sa.Column("void", sa.Boolean(), nullable=False),
        sa.Column("settled_at", UtcDateTime(), nullable=True),
        sa.Column("worker_id", ID, nullable=True),
        sa.Column("wrong", sa.Boolean(), nullable=True),
        sa.Column("score", sa.SmallInteger(), nullable=True),
        sa.Column("blame", sa.SmallInteger(), nullable=True),
        sa.Column("reasons", Json, nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        _reference("audit_images", "audit_id", "audits"),
        _reference("audit_images", "image_id", "images"),
        _reference("audit_images", "task_id", "tasks"),
        _reference("audit_images", "worker_id", "workers"),
        sa.PrimaryKeyConstraint("audit_id", "place", name=op.f("pk_audit_images")),
        sa.UniqueConstraint("audit_id", "image_id", name="uq_audit_images_image"),
    )
    op.create_table(
        "audit_events",
        sa.Column("id", ID, nullable=False),
        sa.Column("audit_id", ID, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("what", sa.SmallInteger(), nullable=False),
        sa.Column("actor_id", ID, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        _reference("audit_events", "audit_id", "audits"),
        _reference("audit_events", "actor_id", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_events")),
    )
    op.create_table(
        "audit_signatures",
        sa.Column("id", ID, nullable=False),
        sa.Column("audit_id", ID, nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("opinion", sa.SmallInteger(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("judged", "wrong")),
        _reference("audit_signatures", "audit_id", "audits"),
        _reference("audit_signatures", "worker_id", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_signatures")),
    )
    op.create_table(
        "audit_returns",
        sa.Column("id", ID, nullable=False),
        sa.Column("audit_id", ID, nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor_id", ID, nullable=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("after_id", sa.BigInteger(), nullable=False),
        sa.Column("reopened", Json, nullable=False),
        sa.Column("left_alone", Json, nullable=False),
        *(sa.Column(name, UtcDateTime(), nullable=True) for name in ("run_after", "finished_at")),
        _reference("audit_returns", "audit_id", "audits"),
        _reference("audit_returns", "actor_id", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_returns")),
    )
    for table in ("audit_events", "audit_signatures", "audit_returns"):
        op.create_index(f"ix_{table}_audit_id", table, ["audit_id"])
    for name, table, columns, where, unique in PARTIAL:
        condition = sa.text(where)
        op.create_index(
            name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition
        )
    for table in APPEND_ONLY:
        _make_append_only(table)


def downgrade() -> None:
    """Take back."""
    for table in TABLES:
        op.drop_table(table)


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
