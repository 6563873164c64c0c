"""Releases are revised when an image is withdrawn, asked for, and tried by models"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0014"
down_revision: str | Sequence[str] | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
)
MOMENT = sa.DateTime(timezone=True)

# In the order in which they may go.
TABLES = ("release_results", "release_downloads", "access_decisions", "access_requests", "release_tombstones")


def upgrade() -> None:
    """Apply."""
    op.add_column("releases", sa.Column("about", JSON, nullable=True))
    op.add_column("exports", sa.Column("revision", sa.Integer(), nullable=False, server_default="1"))
    op.create_table(
        "release_tombstones",
        sa.Column("release_id", ID, nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        _reference("release_tombstones", "release_id", "releases"),
        _reference("release_tombstones", "image_id", "images"),
        sa.PrimaryKeyConstraint("release_id", "image_id", name=op.f("pk_release_tombstones")),
    )
    op.create_table(
        "access_requests",
        sa.Column("id", ID, nullable=False),
        sa.Column("release_id", ID, nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        _reference("access_requests", "release_id", "releases"),
        _reference("access_requests", "worker_id", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_requests")),
    )
    op.create_index("ix_access_requests_release", "access_requests", ["release_id", "id"])
    op.create_index("ix_access_requests_worker", "access_requests", ["worker_id", "release_id"])
    op.create_table(
        "access_decisions",
        sa.Column("id", ID, nullable=False),
        sa.Column("request_id", ID, nullable=False),
        sa.Column("verdict", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor_id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        _reference("access_decisions", "request_id", "access_requests"),
        _reference("access_decisions", "actor_id", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_decisions")),
    )
    op.create_index(op.f("ix_access_decisions_request_id"), "access_decisions", ["request_id"])
    op.create_table(
        "release_downloads",
        sa.Column("id", ID, nullable=False),
        sa.Column("release_id", ID, nullable=False),
        sa.Column("export_id", ID, nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("request_id", ID, nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        _reference("release_downloads", "release_id", "releases"),
        _reference("release_downloads", "export_id", "exports"),
        _reference("release_downloads", "worker_id", "workers"),
        _reference("release_downloads", "request_id", "access_requests"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release_downloads")),
    )
    op.create_index("ix_release_downloads_release", "release_downloads", ["release_id", "id"])
    op.create_table(
        "release_results",
        sa.Column("id", ID, nullable=False),
        sa.Column("release_id", ID, nullable=False),
        sa.Column("model_id", ID, nullable=True),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("split", sa.SmallInteger(), nullable=False),
        sa.Column("figures", JSON, nullable=False),
        sa.Column("actor_id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        _reference("release_results", "release_id", "releases"),
        _reference("release_results", "model_id", "models"),
        _reference("release_results", "actor_id", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release_results")),
    )
    op.create_index("ix_release_results_release", "release_results", ["release_id", "id"])
    for table in TABLES:
        _make_append_only(table)


def downgrade() -> None:
    """Take back."""
    for table in TABLES:
        op.drop_table(table)
    op.drop_column("exports", "revision")
    op.drop_column("releases", "about")


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
