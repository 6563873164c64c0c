"""All SQL of models that people may ask for."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow
from crowd.ml.models import Model


def models(conn: Connection, *, after: int, limit: int) -> Sequence[AnyRow]:
    """Every version of every model, oldest first: what anybody may know of it."""
    columns = (Model.id, Model.stage, Model.name, Model.version, Model.metrics, Model.created_at)
    return conn.execute(sa.select(*columns).where(Model.id > after).order_by(Model.id).limit(limit)).all()
