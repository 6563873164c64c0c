"""Evidence about people's answers, the scores folded from it, and proposals of the promotion rule"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0007"
down_revision: str | Sequence[str] | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
)
MOMENT = sa.DateTime(timezone=True)

APPEND_ONLY = ("evidence", "severity_fits")
# In the order in which they may go.
TABLES = ("tier_proposals", "scores", "severities", "severity_fits", "evidence")

# A person's rows are there from the day they join: whoever records evidence then only ever locks.
STAGES = " UNION ALL ".join(f"SELECT {code} AS stage" for code in range(6))
BEGIN_SCORES = "INSERT INTO scores (worker_id, stage) SELECT {worker}, stage FROM ({stages}) AS stages {rest}"


def upgrade() -> None:
    """Apply."""
    _evidence()
    _severity()
    _scores()
    _proposals()
    # With what the rule saw; null: somebody decided. A new column without a default rewrites nothing.
    op.add_column("grade_events", sa.Column("evidence", JSON, nullable=True))
    _begin_scores()
    for table in APPEND_ONLY:
        _make_append_only(table)


def downgrade() -> None:
    """Take back."""
    op.execute("DROP TRIGGER workers_scored" + (" ON workers" if _on_postgresql() else ""))
    if _on_postgresql():
        op.execute("DROP FUNCTION workers_scored()")
    op.drop_column("grade_events", "evidence")
    for table in TABLES:
        op.drop_table(table)


def _evidence() -> None:
    op.create_table(
        "evidence",
        sa.Column("id", ID, nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("opens", sa.Boolean(), nullable=False),
        sa.Column("score", sa.SmallInteger(), nullable=True),
        sa.Column("against", sa.Double(), nullable=True),
        sa.Column("judge_id", ID, nullable=True),
        sa.Column("task_id", sa.BigInteger(), nullable=False),
        sa.Column("image_id", sa.BigInteger(), nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("cancels_id", ID, nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        _reference("evidence", "worker_id", "workers"),
        _reference("evidence", "judge_id", "workers"),
        _reference("evidence", "cancels_id", "evidence"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence")),
    )
    op.create_index("ix_evidence_worker", "evidence", ["worker_id", "stage", "id"])
    op.create_index("ix_evidence_task", "evidence", ["task_id"])
    _partial("ix_evidence_gold", "evidence", ["worker_id", "id"], "kind = 0")
    _partial("uq_evidence_cancels", "evidence", ["cancels_id"], "cancels_id IS NOT NULL", unique=True)


def _severity() -> None:
    op.create_table(
        "severity_fits",
        sa.Column("id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("up_to", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_severity_fits")),
    )
    op.create_table(
        "severities",
        sa.Column("fit_id", ID, nullable=False),
        sa.Column("reviewer_id", ID, nullable=False),
        sa.Column("bias", sa.Double(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("kappa", sa.Double(), nullable=True),
        sa.Column("offset", sa.Double(), nullable=True),
        sa.Column("compared", sa.Integer(), nullable=False),
        sa.Column("reviews", sa.Integer(), nullable=False),
        _reference("severities", "fit_id", "severity_fits"),
        _reference("severities", "reviewer_id", "workers"),
        sa.PrimaryKeyConstraint("fit_id", "reviewer_id", name=op.f("pk_severities")),
    )


def _scores() -> None:
    whole = ("n", "gold_n", "day_n")
    op.create_table(
        "scores",
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("stage", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("fit_id", ID, nullable=True),
        *(sa.Column(name, sa.Integer(), server_default="0", nullable=False) for name in whole),
        *(
            sa.Column(name, sa.Double(), server_default="0", nullable=False)
            for name in ("good", "bad", "day_good", "day_bad")
        ),
        sa.Column("at", MOMENT, nullable=True),
        sa.Column("unchecked", sa.Boolean(), server_default=sa.false(), nullable=False),
        _reference("scores", "worker_id", "workers"),
        _reference("scores", "fit_id", "severity_fits"),
        sa.PrimaryKeyConstraint("worker_id", "stage", name=op.f("pk_scores")),
    )
    _partial("ix_scores_unchecked", "scores", ["worker_id"], "unchecked")


def _proposals() -> None:
    op.create_table(
        "tier_proposals",
        sa.Column("id", ID, nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("old_grade", sa.SmallInteger(), nullable=False),
        sa.Column("new_grade", sa.SmallInteger(), nullable=False),
        sa.Column("evidence", JSON, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("closed_at", MOMENT, nullable=True),
        sa.Column("closed_by", ID, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        _reference("tier_proposals", "worker_id", "workers"),
        _reference("tier_proposals", "closed_by", "workers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tier_proposals")),
    )
    _partial("uq_tier_proposals_open", "tier_proposals", ["worker_id"], "state = 0", unique=True)
    op.create_index("ix_tier_proposals_state", "tier_proposals", ["state", "id"])
    op.create_index("ix_tier_proposals_worker", "tier_proposals", ["worker_id", "id"])


def _begin_scores() -> None:
    action = BEGIN_SCORES.format(worker="NEW.id", stages=STAGES, rest="")
    if _on_postgresql():
        op.execute(
            "CREATE FUNCTION workers_scored() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {action}; RETURN NULL; END $$"
        )
        op.execute(
            "CREATE TRIGGER workers_scored AFTER INSERT ON workers "
            "FOR EACH ROW EXECUTE FUNCTION workers_scored()"
        )
    else:
        op.execute(f"CREATE TRIGGER workers_scored AFTER INSERT ON workers BEGIN {action}; END")
    # The trigger first: on PostgreSQL it locks the table against new people until the old ones are in.
    op.execute(BEGIN_SCORES.format(worker="workers.id", stages=STAGES, rest="CROSS JOIN workers"))


def _partial(name: str, table: str, columns: list[str], condition: str, *, unique: bool = False) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)


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
