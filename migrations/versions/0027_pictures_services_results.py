"""Releases note pictures that are made anew; services are asked for; models bring their test results along"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0027"
down_revision: str | Sequence[str] | None = "0026"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
# In the order in which they may go.
TABLES = ("service_uses", "service_decisions", "service_requests", "release_pictures")


def upgrade() -> None:
    """Apply."""
    op.add_column("releases", sa.Column("names_suppliers", sa.Boolean(), nullable=True))
    _let_nobody_note_results(True)
    op.create_table(
        "release_pictures",
        sa.Column("release_id", ID, nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("what", sa.SmallInteger(), nullable=False),
        sa.Column("before", sa.LargeBinary(length=32), nullable=True),
        sa.Column("picture", sa.LargeBinary(length=32), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        _reference("release_pictures", "release_id", "releases"),
        _reference("release_pictures", "image_id", "images"),
        sa.PrimaryKeyConstraint("release_id", "revision", name=op.f("pk_release_pictures")),
    )
    op.create_table(
        "service_requests",
        sa.Column("id", ID, nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        _reference("service_requests", "worker_id", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_requests")),
    )
    op.create_index("ix_service_requests_stage", "service_requests", ["stage", "id"])
    op.create_index("ix_service_requests_worker", "service_requests", ["worker_id", "stage"])
    op.create_table(
        "service_decisions",
        sa.Column("id", ID, nullable=False),
        sa.Column("request_id", ID, nullable=False),
        sa.Column("verdict", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor_id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        _reference("service_decisions", "request_id", "service_requests"),
        _reference("service_decisions", "actor_id", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_decisions")),
    )
    op.create_index(op.f("ix_service_decisions_request_id"), "service_decisions", ["request_id"])
    op.create_table(
        "service_uses",
        sa.Column("id", ID, nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("request_id", ID, nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        _reference("service_uses", "image_id", "images"),
        _reference("service_uses", "model_id", "models"),
        _reference("service_uses", "worker_id", "workers"),
        _reference("service_uses", "request_id", "service_requests"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_uses")),
    )
    op.create_index("ix_service_uses_stage", "service_uses", ["stage", "id"])
    for table in TABLES:
        _make_append_only(table)


def downgrade() -> None:
    """Take back. What registered models brought along goes: nobody noted it."""
    for table in TABLES:
        op.drop_table(table)
    _drop_append_only("release_results")
    op.execute("DELETE FROM release_results WHERE actor_id IS NULL")
    _make_append_only("release_results")
    _let_nobody_note_results(False)
    op.drop_column("releases", "names_suppliers")


def _let_nobody_note_results(nobody: bool) -> None:
    """Whether a result may come without a person who noted it; a small table, made anew on SQLite."""
    with op.batch_alter_table("release_results") as batch:
        batch.alter_column("actor_id", existing_type=ID, nullable=nobody)
    if not _on_postgresql():
        _make_append_only("release_results")


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


def _drop_append_only(table: str) -> None:
    if _on_postgresql():
        op.execute(f"DROP TRIGGER append_only ON {table}")
        return
    for action in ("UPDATE", "DELETE"):
        op.execute(f"DROP TRIGGER {table}_no_{action.lower()}")


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
