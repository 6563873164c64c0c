"""Table of the taxonomy's editions."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, BigId, Json, UtcDateTime


class TaxonomyEdition(Base):
    """A version of the taxonomy that held from then on; the newest holds. Append-only.

    Number 0 is the file that held until an admin published number 1, and is kept beside it. `worker_id`
    null: it was the file's, or somebody at the machine itself.
    """

    __tablename__ = "taxonomy_editions"

    number: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    taxonomy_id: Mapped[int] = mapped_column(sa.ForeignKey("taxonomies.id"))
    version: Mapped[str] = mapped_column(sa.String(200))
    worker_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    reason: Mapped[str] = mapped_column(sa.Text)
    changes: Mapped[Any] = mapped_column(Json)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
