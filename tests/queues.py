"""Queues that `benchmarks.queue` builds, for tests that look at plans: each is built once in a whole run.

Building takes half a minute, copying what was built a second: whichever process of the run asks first
builds, and every test gets a copy on a server of its own.
"""

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.queue.build import Built, add_variant, built
from benchmarks.queue.fates import Fate
from tests.servers import QUEUES, own_directory


@contextlib.contextmanager
def built_queue(tasks: int, variants: Sequence[Fate] = ()) -> Iterator[Built]:
    """A queue of `tasks` tasks, these variants ahead of it, that may be changed during the block."""
    with own_directory() as folder:
        with _alone():
            _copy(_kept(tasks, variants), folder / f"{tasks}")
        with built(tasks, _quietly, keep=folder) as found:
            yield found


def _kept(tasks: int, variants: Sequence[Fate]) -> Path:
    """The folder of a queue that is there, or was built now."""
    home = Path(os.environ[QUEUES], *sorted(fate.name for fate in variants))
    if variants and not (home / f"{tasks}").exists():
        home.mkdir(parents=True, exist_ok=True)
        _copy(_kept(tasks, ()), home / f"{tasks}")
    with built(tasks, _quietly, keep=home) as found:
        for fate in variants:
            add_variant(found, fate)
    return home / f"{tasks}"


def _copy(source: Path, target: Path) -> None:
    # With owners: the server's user is another one than ours where we are root.
    subprocess.run(["cp", "-a", source, target], check=True)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """While one process of the run builds, the others wait: they may want the same."""
    with Path(os.environ[QUEUES], "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _quietly(_line: str) -> None:
    pass
