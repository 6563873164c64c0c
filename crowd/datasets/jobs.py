"""Job: write the exports that are due, one after the other."""

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from rq.timeouts import BaseTimeoutException
from sqlalchemy import exc

from crowd.core import clock
from crowd.core.db import AnyRow, Database
from crowd.core.errors import Problem
from crowd.datasets import queries, service
from crowd.datasets.exports import ExportError, Place, write_export
from crowd.datasets.models import ExportState
from crowd.runtime import Runtime

# How long an export is left to the job worker that took it, from the last page it wrote.
HOLD = timedelta(minutes=5)
CHANGED = "an image of the release was withdrawn, or its picture made anew, meanwhile; order the export again"
AWAY = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)

log = structlog.get_logger(__name__)


class Overtaken(Exception):
    """Another job worker has taken the export, because this one was silent for too long."""


@dataclass(slots=True)
class Held:
    """An export that is this process's to write until `until`; each page it writes moves that ahead."""

    db: Database
    export_id: int
    until: datetime

    def keep(self, written: int) -> None:
        """Say that we are alive, and how far we are. Raises Overtaken."""
        until = max(clock.now() + HOLD, self.until + timedelta(microseconds=1))
        with self.db.begin() as conn:
            if not queries.hold_export(conn, self.export_id, self.until, until, written=written):
                raise Overtaken
        self.until = until

    def hand_back(self) -> None:
        """Let the next job worker go on at once."""
        with self.db.begin() as conn:
            queries.hold_export(conn, self.export_id, self.until, clock.now())

    def end(self, state: ExportState, error: str | None = None) -> None:
        """It has failed, or is superseded."""
        with self.db.begin() as conn:
            queries.end_export(conn, self.export_id, self.until, state, clock.now(), error)

    def finish(self, export: AnyRow) -> None:
        """It is done. Raises ExportError where the release has a newer revision by now."""
        with self.db.begin() as conn:
            # Under this lock revisions are made: each supersedes what is done then.
            queries.lock_release(conn, export.release_id)
            if service.find_release(conn, export.release_id).revision != export.revision:
                raise ExportError(CHANGED)
            queries.end_export(conn, self.export_id, self.until, ExportState.DONE, clock.now())


def run_exports(rt: Runtime) -> int:
    """Write every export that is due. Returns how many came to an end, well or not.

    May run in any number of processes at once and be killed at any moment.
    """
    _clear_superseded(rt)
    ended = 0
    while (held := _take(rt.db)) is not None:
        ended += _run(rt, held)
    return ended


def export_key(export_id: int) -> str:
    """The storage folder of an export."""
    return f"exports/{export_id}"


def _clear_superseded(rt: Runtime) -> None:
    """Remove files in which an image is that was withdrawn since, or whose picture was made anew."""
    with rt.db.read() as conn:
        for export_id in queries.superseded_exports(conn):
            shutil.rmtree(rt.storage.root / export_key(export_id), ignore_errors=True)


def _take(db: Database) -> Held | None:
    while True:
        now = clock.now()
        with db.read() as conn:
            due = queries.due_export(conn, now)
        if due is None:
            return None
        with db.begin() as conn:
            if queries.hold_export(conn, due.id, due.run_after, now + HOLD):
                return Held(db, due.id, now + HOLD)


def _run(rt: Runtime, held: Held) -> bool:
    """Whether the export came to an end; if not, it is due again later."""
    with rt.db.read() as conn:
        export = service.find_export(conn, held.export_id)
    try:
        _write(rt, held, export)
        held.finish(export)
    except Overtaken:
        log.warning("export_overtaken", export=held.export_id)
        return False
    except BaseTimeoutException:
        held.hand_back()
        raise
    except AWAY:
        raise
    except (ExportError, OSError, Problem) as error:
        if isinstance(error, Problem) and error.code == "folder_in_use":
            # Somebody was silent for long, but is alive: their lock ends with them.
            return False
        if str(error) == CHANGED:
            shutil.rmtree(rt.storage.root / export_key(held.export_id), ignore_errors=True)
        held.end(ExportState.FAILED, _told(error))
    except Exception:
        log.exception("export_failed", export=held.export_id)
        held.end(ExportState.FAILED, "Something unforeseen went wrong; the log tells more.")
    return True


def _write(rt: Runtime, held: Held, export: AnyRow) -> None:
    service.revise(rt.db, export.release_id, clock.now())
    with rt.db.read() as conn:
        plan = service.plan(conn, rt, export.release_id, export.format, export.layout)
    if plan.release.revision != export.revision:
        raise ExportError(CHANGED)
    place = Place(rt.storage.root / export_key(export.id), link=True)
    write_export(rt.db, rt.storage, plan, place, held.keep)
    service.revise(rt.db, export.release_id, clock.now())


def _told(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"the storage refused a file: {error.strerror or error}"
    return str(error)
