"""The watch over quality: curves, doubted labels, arrivals, alerts"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0015"
down_revision: str | Sequence[str] | None = "0014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
)
MOMENT = sa.DateTime(timezone=True)

APPEND_ONLY = ("model_reports", "doubted_labels", "doubt_decisions", "quality_alerts")
# In the order in which they may go.
TABLES = (
    "quality_alerts",
    "arrivals",
    "doubt_decisions",
    "doubted_labels",
    "doubt_sums",
    "class_sums",
    "label_marks",
    "model_reports",
)


def upgrade() -> None:
    """Apply."""
    _reports()
    _doubts()
    _sums()
    for table in APPEND_ONLY:
        _make_append_only(table)


def downgrade() -> None:
    """Take back."""
    for table in TABLES:
        op.drop_table(table)


def _reports() -> None:
    op.create_table(
        "model_reports",
        sa.Column("id", ID, nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("value", JSON, nullable=False),
        _reference("model_reports", "model_id", "models"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_reports")),
    )
    op.create_index("ix_model_reports_model", "model_reports", ["model_id", "id"])
    op.create_table(
        "quality_alerts",
        sa.Column("id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("fault", sa.SmallInteger(), nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.String(length=130), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("figures", JSON, nullable=False),
        _reference("quality_alerts", "model_id", "models"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quality_alerts")),
    )
    op.create_index(
        "ix_quality_alerts_same", "quality_alerts", ["model_id", "fault", "kind", "subject", "id"]
    )


def _doubts() -> None:
    op.create_table(
        "doubted_labels",
        sa.Column("id", ID, nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("label_id", ID, nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("region", sa.String(length=60), nullable=False),
        sa.Column("question", sa.String(length=60), nullable=False),
        sa.Column("given", sa.String(length=60), nullable=False),
        sa.Column("proposed", sa.String(length=60), nullable=False),
        sa.Column("margin", sa.Double(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        _reference("doubted_labels", "model_id", "models"),
        _reference("doubted_labels", "label_id", "labels"),
        _reference("doubted_labels", "image_id", "images"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_doubted_labels")),
        sa.UniqueConstraint("label_id", "model_id", "region", "question", name="uq_doubted_labels_question"),
    )
    op.create_table(
        "doubt_decisions",
        sa.Column("doubt_id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("actor_id", ID, nullable=False),
        sa.Column("sent_back", sa.Boolean(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        _reference("doubt_decisions", "doubt_id", "doubted_labels"),
        _reference("doubt_decisions", "actor_id", "workers"),
        sa.PrimaryKeyConstraint("doubt_id", name=op.f("pk_doubt_decisions")),
    )


def _sums() -> None:
    op.create_table(
        "label_marks",
        sa.Column("model_id", ID, nullable=False),
        sa.Column("label_id", sa.BigInteger(), nullable=False),
        _reference("label_marks", "model_id", "models"),
        sa.PrimaryKeyConstraint("model_id", name=op.f("pk_label_marks")),
    )
    op.create_table(
        "class_sums",
        sa.Column("model_id", ID, nullable=False),
        sa.Column("question", sa.String(length=60), nullable=False),
        sa.Column("value", sa.String(length=60), nullable=False),
        sa.Column("labels", sa.BigInteger(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        _reference("class_sums", "model_id", "models"),
        sa.PrimaryKeyConstraint("model_id", "question", "value", name=op.f("pk_class_sums")),
    )
    op.create_table(
        "doubt_sums",
        sa.Column("model_id", ID, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.String(length=130), nullable=False),
        sa.Column("looked", sa.BigInteger(), nullable=False),
        sa.Column("doubted", sa.BigInteger(), nullable=False),
        _reference("doubt_sums", "model_id", "models"),
        sa.PrimaryKeyConstraint("model_id", "kind", "subject", name=op.f("pk_doubt_sums")),
    )
    op.create_table(
        "arrivals",
        sa.Column("model_id", ID, nullable=False),
        sa.Column("supplier_id", ID, nullable=False),
        sa.Column("week", sa.Integer(), nullable=False),
        sa.Column("answer", sa.String(length=130), nullable=False),
        sa.Column("images", sa.BigInteger(), nullable=False),
        _reference("arrivals", "model_id", "models"),
        _reference("arrivals", "supplier_id", "suppliers"),
        sa.PrimaryKeyConstraint("model_id", "supplier_id", "week", "answer", name=op.f("pk_arrivals")),
    )


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
