"""What is done to a system while people work on it: short stories that leave nothing broken for good."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from crowd.core.db import Database
from tests.faults.supply import (
    LARGE,
    Admin,
    begin_import,
    exporting,
    import_pictures,
    newest_export,
    preparing,
    write_pictures,
)
from tests.faults.system import Embedded, Production, System, kill, until

IMPORTED = 12
# Job workers that were killed before have to start anew on a busy machine.
CATCH_SECONDS = 60.0
LONGEST_GLIMPSE_SECONDS = 0.4
# Whether somebody is met in the middle of their work is a matter of luck, so it is tried again.
TRIES = 6
EXPORT_SECONDS = 60.0


@dataclass
class Scene:
    """Where faults happen. `away`: the longest a server stays away (seconds); `imported`: file names."""

    system: System
    database: Database
    admin: Admin
    rng: random.Random
    away: float
    pictures: Path
    imported: list[str] = field(default_factory=list)

    def pause(self) -> None:
        """As long as something is away."""
        time.sleep(self.rng.uniform(0.3, 1) * self.away)


# Does it; tells whether it could be done.
Injury: TypeAlias = Callable[[Scene], bool]


def web_worker_killed(scene: Scene) -> bool:
    """kill -9 of a process that answers requests; its master starts another."""
    return scene.system.kill_web_worker()


def web_master_killed(scene: Scene) -> bool:
    """kill -9 of the web server's first process; the supervisor starts another."""
    return scene.system.kill_web_master()


def database_crashed(scene: Scene) -> bool:
    """PostgreSQL stops in immediate mode and recovers."""
    system = scene.system
    assert isinstance(system, Production)
    system.stop_database()
    scene.pause()
    system.start_database()
    return True


def redis_killed(scene: Scene) -> bool:
    """kill -9 of Redis, which comes back empty."""
    killed = scene.system.kill_redis()
    scene.pause()
    scene.system.heal()
    return killed


def redis_flushed(scene: Scene) -> bool:
    """Redis forgets every job and every job worker."""
    return scene.system.flush_redis()


def killed_while_preparing(scene: Scene) -> bool:
    """kill -9 of all job workers while they make working images of an import; again until that was met."""
    # Each time sooner after they have begun, the last time almost at once.
    return any(_kill_while_preparing(scene, LONGEST_GLIMPSE_SECONDS / 2**tried) for tried in range(TRIES))


def _kill_while_preparing(scene: Scene, longest_glimpse: float) -> bool:
    mark = f"import-{len(scene.imported)}"
    names = write_pictures(scene.pictures / mark, IMPORTED, mark, LARGE)
    # While the import still runs: job workers begin as soon as there is something to do.
    importing = begin_import(scene.system, scene.pictures / mark)
    until(lambda: preparing(scene.database, names), CATCH_SECONDS, pause=0.002)
    time.sleep(scene.rng.uniform(0, longest_glimpse))
    killed = scene.system.kill_job_workers() > 0
    caught = preparing(scene.database, names)
    imported = importing.wait() == 0 or import_pictures(scene.system, scene.pictures / mark)
    scene.imported += names if imported else []
    return caught and killed and imported


def killed_while_exporting(scene: Scene) -> bool:
    """kill -9 of all job workers while they write exports; again until that was met."""
    return any(_kill_while_exporting(scene) for _ in range(TRIES))


def _kill_while_exporting(scene: Scene) -> bool:
    newest = newest_export(scene.database)

    def busy() -> bool:
        return exporting(scene.database, newest)

    def meet() -> bool:
        met = until(busy, EXPORT_SECONDS, pause=0.002)
        return met and scene.system.kill_job_workers() > 0 and busy()

    # While they are still being ordered: the first are written before the last has been asked for.
    with ThreadPoolExecutor(1) as beside:
        met = beside.submit(meet)
        return bool(_some_exports(scene)) and met.result()


def export_forgotten(scene: Scene) -> bool:
    """No job worker is there when exports are ordered, and then Redis forgets that they were."""
    if not _some_exports(scene):
        return False
    killed = scene.system.kill_job_workers() > 0
    ordered = scene.admin.order_exports()
    return scene.system.flush_redis() and killed and bool(ordered)


def _some_exports(scene: Scene) -> list[int]:
    jobs: list[int] = []

    def ordered() -> bool:
        # At the beginning no image is accepted yet, and there is nothing to export.
        jobs.extend(scene.admin.order_exports())
        return bool(jobs)

    until(ordered, EXPORT_SECONDS, pause=0.5)
    return jobs


def tidied_by_many(scene: Scene) -> bool:
    """Two maintenance processes beside the job workers; one of them is killed in the middle."""
    processes = [scene.system.command("tests.faults.tidier") for _ in range(2)]
    # Long enough to have started in spite of a busy machine.
    time.sleep(2 + scene.away)
    alive = [process.poll() is None for process in processes]
    for process in processes:
        kill(process.pid)
        process.wait()
        scene.pause()
    return all(alive)


def everything_killed(scene: Scene) -> bool:
    """kill -9 of everything at once; the same data is started again."""
    system = scene.system
    if isinstance(system, Embedded):
        system.kill_all()
    else:
        assert isinstance(system, Production)
        system.kill_web_master()
        system.kill_job_workers()
        system.kill_redis()
        system.stop_database()
        system.start_database()
    system.heal()
    return True


IN_PRODUCTION: dict[str, Injury] = {
    "web worker killed": web_worker_killed,
    "web master killed": web_master_killed,
    "PostgreSQL crashed": database_crashed,
    "Redis killed": redis_killed,
    "Redis flushed": redis_flushed,
    "killed while preparing": killed_while_preparing,
    "killed while exporting": killed_while_exporting,
    "export forgotten": export_forgotten,
    "tidied by many": tidied_by_many,
    "everything killed": everything_killed,
}

EMBEDDED: dict[str, Injury] = {
    name: injury for name, injury in IN_PRODUCTION.items() if injury is not database_crashed
}
