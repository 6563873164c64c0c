"""Models, their candidates, and what people took from them"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0005"
down_revision: str | Sequence[str] | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
)
MOMENT = sa.DateTime(timezone=True)

APPEND_ONLY = ("models", "model_events", "candidates", "showings", "candidate_uses")
# In the order in which they may go.
TABLES = (
    "candidate_use_sums",
    "candidate_use_deltas",
    "candidate_uses",
    "showings",
    "candidate_marks",
    "candidate_jobs",
    "candidates",
    "serving_models",
    "model_events",
    "models",
)


def upgrade() -> None:
    """Apply."""
    _models()
    _candidates()
    _uses()
    for table in APPEND_ONLY:
        _make_append_only(table)
    if _on_postgresql():
        # Rows come and go within seconds: what is dead must not pile up in front of a reader.
        for table in ("candidate_jobs", "candidate_use_deltas"):
            op.execute(
                f"ALTER TABLE {table} SET "
                "(autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)"
            )


def downgrade() -> None:
    """Take back."""
    for table in TABLES:
        op.drop_table(table)


def _models() -> None:
    op.create_table(
        "models",
        sa.Column("id", ID, nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("file", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("card", JSON, nullable=False),
        sa.Column("metrics", JSON, nullable=False),
        sa.Column("created_by", ID, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        _reference("models", "created_by", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint("name", "version", name="uq_models_version"),
        sa.UniqueConstraint("sha256", name=op.f("uq_models_sha256")),
    )
    op.create_table(
        "model_events",
        sa.Column("id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("what", sa.SmallInteger(), nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("model_id", ID, nullable=True),
        sa.Column("before_id", ID, nullable=True),
        sa.Column("actor_id", ID, nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        _reference("model_events", "model_id", "models"),
        _reference("model_events", "before_id", "models"),
        _reference("model_events", "actor_id", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_events")),
    )
    op.create_index("ix_model_events_stage", "model_events", ["stage", "id"])
    op.create_table(
        "serving_models",
        sa.Column("stage", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("model_id", ID, nullable=True),
        sa.Column("since", MOMENT, nullable=False),
        _reference("serving_models", "model_id", "models"),
        sa.PrimaryKeyConstraint("stage", name=op.f("pk_serving_models")),
    )


def _candidates() -> None:
    op.create_table(
        "candidates",
        sa.Column("task_id", ID, nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("value", JSON, nullable=False),
        sa.Column("made_at", MOMENT, nullable=False),
        _reference("candidates", "task_id", "tasks"),
        _reference("candidates", "model_id", "models"),
        sa.PrimaryKeyConstraint("task_id", "model_id", name=op.f("pk_candidates")),
    )
    op.create_table(
        "candidate_jobs",
        sa.Column("task_id", ID, nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("due_at", MOMENT, nullable=True),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        _reference("candidate_jobs", "task_id", "tasks"),
        _reference("candidate_jobs", "model_id", "models"),
        sa.PrimaryKeyConstraint("task_id", "model_id", name=op.f("pk_candidate_jobs")),
    )
    due = sa.text("due_at IS NOT NULL")
    op.create_index(
        "ix_candidate_jobs_due",
        "candidate_jobs",
        ["model_id", "due_at"],
        sqlite_where=due,
        postgresql_where=due,
    )
    op.create_table(
        "candidate_marks",
        sa.Column("model_id", ID, nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("task_id", sa.BigInteger(), nullable=False),
        _reference("candidate_marks", "model_id", "models"),
        sa.PrimaryKeyConstraint("model_id", "priority", name=op.f("pk_candidate_marks")),
    )


def _uses() -> None:
    op.create_table(
        "showings",
        sa.Column("task_id", ID, nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("withheld", sa.Boolean(), nullable=False),
        _reference("showings", "task_id", "tasks"),
        _reference("showings", "model_id", "models"),
        sa.PrimaryKeyConstraint("task_id", "token", name=op.f("pk_showings")),
    )
    op.create_table(
        "candidate_uses",
        sa.Column("task_id", ID, nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("withheld", sa.Boolean(), nullable=False),
        sa.Column("taking", sa.SmallInteger(), nullable=False),
        sa.Column("proposed", sa.Integer(), nullable=False),
        sa.Column("kept", sa.Integer(), nullable=False),
        sa.Column("edit", sa.Double(), nullable=True),
        sa.Column("detail", JSON, nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        _reference("candidate_uses", "task_id", "tasks"),
        _reference("candidate_uses", "model_id", "models"),
        sa.PrimaryKeyConstraint("task_id", "token", name=op.f("pk_candidate_uses")),
    )
    op.create_table(
        "candidate_use_deltas",
        sa.Column("id", ID, nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("withheld", sa.Boolean(), nullable=False),
        *_sums(),
        _reference("candidate_use_deltas", "model_id", "models"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_candidate_use_deltas")),
    )
    op.create_table(
        "candidate_use_sums",
        sa.Column("model_id", ID, nullable=False),
        sa.Column("withheld", sa.Boolean(), nullable=False),
        *_sums(),
        _reference("candidate_use_sums", "model_id", "models"),
        sa.PrimaryKeyConstraint("model_id", "withheld", name=op.f("pk_candidate_use_sums")),
    )


def _sums() -> list[sa.Column[float]]:
    whole = ("answers", "as_is", "replaced", "proposed", "kept")
    return [
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in whole),
        sa.Column("edit", sa.Double(), nullable=False),
        sa.Column("bounced", sa.BigInteger(), nullable=False),
        sa.Column("timed", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("seconds_squared", sa.Double(), nullable=False),
    ]


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
