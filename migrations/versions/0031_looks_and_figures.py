"""The rule looks at people again by itself; figures of agreement, errors and fixes by more than before"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0031"
down_revision: str | Sequence[str] | None = "0030"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEPT = (
    "work_days",
    "supplier_days",
    "image_days",
    "style_days",
    "error_days",
    "fix_days",
    "agreement_weeks",
)
# Sources: 0 answers, 1 events.
TOLD = {"submissions": 0, "image_events": 1}

# Key columns by table: of the present, and of the past. Texts have a length.
LENGTHS = {"variable": 200, "code": 200, "style": 200, "a": 500, "b": 500}
PAST = {
    "error_days": ("worker_id", "group_id", "supplier_id", "stage", "code", "day"),
    "fix_days": ("fixer_id", "author_id", "stage", "day"),
    "agreement_weeks": ("week", "stage", "basis", "variable", "worker_id", "earlier", "a", "b"),
}
PRESENT = {
    "error_days": ("worker_id", "group_id", "supplier_id", "stage", "style", "code", "day"),
    "fix_days": (
        "fixer_id",
        "fixer_group_id",
        "author_id",
        "author_group_id",
        "supplier_id",
        "stage",
        "day",
    ),
    "agreement_weeks": (
        "week",
        "stage",
        "basis",
        "variable",
        "worker_id",
        "group_id",
        "earlier",
        "a",
        "b",
    ),
    "supplier_agreement_weeks": ("week", "stage", "basis", "variable", "supplier_id", "a", "b"),
}
SUMS = {
    "error_days": ("bounces",),
    "fix_days": ("fixed", "changed"),
    "agreement_weeks": ("weight",),
    "supplier_agreement_weeks": ("weight",),
}

# In the order in which an answer comes to them. What was locked is let go after half a second and taken anew,
# lest a writer that waits for us and for whom we wait be ended.
LOCK = """
DO $$ BEGIN
FOR attempt IN 1..120 LOOP
    BEGIN
        LOCK TABLE submissions, image_events IN SHARE MODE;
        LOCK TABLE untold, retellings IN ACCESS EXCLUSIVE MODE;
        RETURN;
    EXCEPTION WHEN lock_not_available THEN
        PERFORM pg_sleep(random() / 2);
    END;
END LOOP;
RAISE EXCEPTION 'the tables are in use: upgrade while no backup and no export runs';
END $$
"""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "rule_looks",
        sa.Column("worker_id", ID, autoincrement=False, nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name=op.f("fk_rule_looks_worker_id_workers")),
        sa.PrimaryKeyConstraint("worker_id", name=op.f("pk_rule_looks")),
    )
    op.create_index(op.f("ix_rule_looks_due_at"), "rule_looks", ["due_at"])
    # Once at everybody: proposals of passed exams had got lost, and nobody looked after a cool-down.
    op.execute("INSERT INTO rule_looks (worker_id, due_at, asked) SELECT id, created_at, 1 FROM workers")
    _make_anew(PAST, PRESENT)


def downgrade() -> None:
    """Take back."""
    _make_anew(PRESENT, PAST)
    op.drop_table("rule_looks")


def _make_anew(old: dict[str, tuple[str, ...]], new: dict[str, tuple[str, ...]]) -> None:
    """Other keys for the kept figures; all history is told again by upkeep, page by page."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '500ms'")
        op.execute(LOCK)
        op.execute("SET LOCAL lock_timeout = DEFAULT")
    for table in old:
        op.drop_table(table)
    for table, key in new.items():
        columns = [sa.Column(name, _kind(name), autoincrement=False, nullable=False) for name in key]
        sums = [sa.Column(name, sa.BigInteger(), nullable=False) for name in SUMS[table]]
        op.create_table(table, *columns, *sums, sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{table}")))
    op.create_index("ix_agreement_weeks_worker", "agreement_weeks", ["worker_id", "stage"])
    for table in ("untold", "retellings", *(each for each in KEPT if each not in new)):
        op.execute(f"DELETE FROM {table}")  # noqa: S608  # our own names
    for table, source in TOLD.items():
        op.execute(
            f"INSERT INTO retellings (source, next_id, last_id) "  # noqa: S608  # our own names
            f"SELECT {source}, 1, max(id) FROM {table} HAVING max(id) IS NOT NULL"
        )


def _kind(name: str) -> sa.types.TypeEngine[Any]:
    if name in ("day", "week"):
        return sa.Date()
    if name == "earlier":
        return sa.Boolean()
    if name in ("stage", "basis"):
        return sa.SmallInteger()
    return sa.String(length=LENGTHS[name]) if name in LENGTHS else sa.BigInteger()
