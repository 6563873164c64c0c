"""Reading a stage's guideline, and writing its next version."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from crowd.core.errors import Conflict, field_error
from crowd.policy import Stage
from crowd.tasks.guidelines import queries
from crowd.tasks.guidelines.models import Language

TEXTS = Path(__file__).with_name("texts")


@dataclass(frozen=True, slots=True)
class Edition:
    """The next version of a guideline; `after` is the version that its author had before them.

    Neither `text` nor `reason` is empty.
    """

    stage: Stage
    language: Language
    text: str
    reason: str
    after: int


@cache
def built_in(stage: Stage, language: Language) -> str:
    """The guideline that comes with the product."""
    return (TEXTS / f"{stage}.{language}.md").read_text(encoding="utf-8")


def present(conn: Connection, stage: Stage, language: Language) -> dict[str, Any]:
    """The guideline that holds: version, text, since when (null for the one that comes with the product)."""
    found = queries.latest(conn, stage, language)
    about = {"stage": stage, "language": language}
    if found is None:
        return {**about, "version": 0, "text": built_in(stage, language), "at": None}
    return {**about, "version": found.version, "text": found.text, "at": found.at}


def write(conn: Connection, edition: Edition, admin_id: int, now: datetime) -> dict[str, Any]:
    """Keep the next version, which holds from now on.

    Raises a 422 about `text`, and Conflict `changed` where somebody wrote one meanwhile.
    """
    before = present(conn, edition.stage, edition.language)
    if before["text"].strip() == edition.text.strip():
        raise field_error("text", "is the same as before")
    if before["version"] != edition.after:
        raise _changed(before["version"])
    try:
        with conn.begin_nested():
            queries.add(
                conn,
                stage=edition.stage,
                language=edition.language,
                version=edition.after + 1,
                text=edition.text.strip() + "\n",
                reason=edition.reason,
                worker_id=admin_id,
                at=now,
            )
    except IntegrityError:
        raise _changed(edition.after + 1) from None
    return present(conn, edition.stage, edition.language)


def _changed(version: int) -> Conflict:
    return Conflict("changed", f"Version {version} was written meanwhile; read it first.")
