"""The rule looks at people again after a cool-down, a change by hand or a passed exam"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0031"
down_revision: str | Sequence[str] | None = "0027"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


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


def downgrade() -> None:
    """Take back."""
    op.drop_table("rule_looks")
