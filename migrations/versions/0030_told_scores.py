"""People's own figures leave gold out; practice that showed its answer is marked; gold is made anew"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0030"
down_revision: str | Sequence[str] | None = "0028"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TOLD = ("told_n", "told_good", "told_bad", "told_day_n", "told_day_good", "told_day_bad")


def upgrade() -> None:
    """Apply. The nightly fit, or `crowd quality rebuild`, fills the new sums from the evidence."""
    for name in _TOLD:
        kind = sa.Integer() if name.endswith("_n") else sa.Double()
        op.add_column("scores", sa.Column(name, kind, server_default="0", nullable=False))
    op.add_column("gold_seats", sa.Column("example", sa.Boolean(), server_default=sa.false(), nullable=False))
    # Labels that were found wrong are settled anew, and are known again.
    op.drop_index("uq_gold_items_adjudicated", "gold_items")


def downgrade() -> None:
    """Take back. Of what became gold more than once only the first is called adjudicated."""
    op.execute(
        "UPDATE gold_items SET origin = 1 WHERE origin = 0 AND EXISTS (SELECT 1 FROM gold_items AS older WHERE "
        "older.image_id = gold_items.image_id AND older.stage = gold_items.stage AND older.origin = 0 "
        "AND older.id < gold_items.id)"
    )
    is_adjudicated = sa.text("origin = 0")
    op.create_index(
        "uq_gold_items_adjudicated",
        "gold_items",
        ["image_id", "stage"],
        unique=True,
        sqlite_where=is_adjudicated,
        postgresql_where=is_adjudicated,
    )
    op.drop_column("gold_seats", "example")
    for name in _TOLD:
        op.drop_column("scores", name)
