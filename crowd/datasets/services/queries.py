"""All SQL of what models said of images."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow
from crowd.ml.models import Candidates, Model
from crowd.policy import Stage
from crowd.tasks.models import Task


def said(conn: Connection, stage: Stage, image_id: int) -> AnyRow | None:
    """What the newest of the stage's models that looked at the image said of it."""
    return conn.execute(
        sa.select(Candidates.model_id, Candidates.value, Model.name, Model.version)
        .join_from(Task, Candidates, Candidates.task_id == Task.id)
        .join(Model, Model.id == Candidates.model_id)
        .where(Task.image_id == image_id, Task.stage == stage)
        .order_by(Candidates.model_id.desc(), Candidates.task_id.desc())
        .limit(1)
    ).one_or_none()
