"""People's own figures leave gold out; practice that showed its answer is marked; gold is made anew"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0030"
down_revision: str | Sequence[str] | None = "0027"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TOLD = ("told_n", "told_good", "told_bad", "told_day_n", "told_day_good", "told_day_bad")


def upgrade() -> None:
    """Apply. The nightly fit, or `crowd quality rebuild`, fills the new sums from the evidence."""
    for name in _TOLD:
        kind = sa.Integer() if name.endswith("_n") else sa.Double()
        op.add_column("scores", sa.Column(name, kind, server_default="0", nullable=False))


def downgrade() -> None:
    """Take back."""
    for name in _TOLD:
        op.drop_column("scores", name)
