"""A release keeps the target quantities of its day; models are asked for, and every fetch is noted"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0020"
down_revision: str | Sequence[str] | None = "0019"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
)
MOMENT = sa.DateTime(timezone=True)
# In the order in which they may go.
TABLES = ("model_fetches", "model_decisions", "model_requests")


def upgrade() -> None:
    """Apply."""
    op.add_column("releases", sa.Column("targets", JSON, nullable=True))
    op.create_table(
        "model_requests",
        sa.Column("id", ID, nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        _reference("model_requests", "model_id", "models"),
        _reference("model_requests", "worker_id", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_requests")),
    )
    op.create_index("ix_model_requests_model", "model_requests", ["model_id", "id"])
    op.create_index("ix_model_requests_worker", "model_requests", ["worker_id", "model_id"])
    op.create_table(
        "model_decisions",
        sa.Column("id", ID, nullable=False),
        sa.Column("request_id", ID, nullable=False),
        sa.Column("verdict", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor_id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        _reference("model_decisions", "request_id", "model_requests"),
        _reference("model_decisions", "actor_id", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_decisions")),
    )
    op.create_index(op.f("ix_model_decisions_request_id"), "model_decisions", ["request_id"])
    op.create_table(
        "model_fetches",
        sa.Column("id", ID, nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("request_id", ID, nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        _reference("model_fetches", "model_id", "models"),
        _reference("model_fetches", "worker_id", "workers"),
        _reference("model_fetches", "request_id", "model_requests"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_fetches")),
    )
    op.create_index("ix_model_fetches_model", "model_fetches", ["model_id", "id"])
    for table in TABLES:
        _make_append_only(table)


def downgrade() -> None:
    """Take back."""
    for table in TABLES:
        op.drop_table(table)
    op.drop_column("releases", "targets")


def _reference(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=op.f(f"fk_{table}_{column}_{other}"))


def _make_append_only(table: str) -> None:
    if _on_postgresql():
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


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
