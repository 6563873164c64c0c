"""Outlines are looked through from the first label on: until now a model's mark passed them by."""

from collections.abc import Sequence

from alembic import op

revision: str = "0021"
down_revision: str | Sequence[str] | None = "0020"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Models of outlines alone (stage 0): nothing was summed up for these yet, so nothing is counted twice.
FORGET_MARKS = "DELETE FROM label_marks WHERE model_id IN (SELECT id FROM models WHERE stage = 0)"


def upgrade() -> None:
    """Apply."""
    op.execute(FORGET_MARKS)


def downgrade() -> None:
    """Take back: a mark at the beginning is as good for the older version."""
