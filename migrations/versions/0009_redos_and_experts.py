"""Redos and what became of each image, experts' figures, and how far jobs have read"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0009"
down_revision: str | Sequence[str] | None = "0008"
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
        "read_marks",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_read_marks")),
    )
    op.create_table(
        "expert_figures",
        sa.Column("worker_id", ID, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("answers", "unsure", "timed")),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("judged", sa.BigInteger(), nullable=False),
        sa.Column("agreed", sa.BigInteger(), nullable=False),
        sa.Column("last_at", MOMENT, nullable=False),
        _reference("expert_figures", "worker_id", "workers"),
        sa.PrimaryKeyConstraint("worker_id", name=op.f("pk_expert_figures")),
    )
    op.create_table(
        "redos",
        sa.Column("id", ID, nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("stages", JSON, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor_id", ID, nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("answers", sa.Integer(), nullable=False),
        sa.Column("looked_at", sa.Integer(), nullable=False),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("after_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("run_after", MOMENT, nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        _reference("redos", "worker_id", "workers"),
        _reference("redos", "actor_id", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redos")),
    )
    pending = sa.text("state = 0")
    op.create_index(
        "uq_redos_pending",
        "redos",
        ["worker_id"],
        unique=True,
        sqlite_where=pending,
        postgresql_where=pending,
    )
    op.create_index("ix_redos_worker", "redos", ["worker_id", "id"])
    op.create_table(
        "redo_images",
        sa.Column("redo_id", ID, nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("fate", sa.SmallInteger(), nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        _reference("redo_images", "redo_id", "redos"),
        _reference("redo_images", "image_id", "images"),
        sa.PrimaryKeyConstraint("redo_id", "image_id", name=op.f("pk_redo_images")),
    )
    _make_append_only("redo_images")


def downgrade() -> None:
    """Take back."""
    for table in ("redo_images", "redos", "expert_figures", "read_marks"):
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
