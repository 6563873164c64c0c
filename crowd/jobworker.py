"""The RQ job worker process: works on queues, and asks for upkeep every few seconds."""

import argparse
import sys
import threading
import time
from types import FrameType
from typing import Any

import structlog
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested

from crowd.core.queue import JobQueue, connect
from crowd.jobs import QUEUES, USUAL_QUEUES, job_runtime
from crowd.ml import extra

UPKEEP_SECONDS = 5.0

# RQ listens for 15 seconds less than this at a time, and takes a silent Redis for dead 10 seconds later.
# Its own seven minutes would be how long a job worker misses that Redis went away with its machine.
LISTENER_SECONDS = 45

log = structlog.get_logger(__name__)


class Listener(SimpleWorker):
    """RQ's worker in one long-lived process: forking for each job would throw away warm caches and pools.

    It remembers whether it was told to stop: RQ also ends its work, without a word to the caller, when
    Redis went away at a bad moment.
    """

    # RQ doubles its pause after each failure up to a minute; a failover is over long before.
    max_connection_wait_time = 4.0
    told_to_stop = False

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """End after the present job."""
        self.told_to_stop = True
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def hang_up(self) -> None:
        """Let the thread that hears RQ's commands end; `work` cannot stop it when Redis is away."""
        thread: Any = self.pubsub_thread
        if thread is not None:
            thread.stop()


def main(arguments: list[str] | None = None) -> int:
    """Work until told to stop. Returns the exit code: 2 without Redis's address or what models need."""
    parser = argparse.ArgumentParser(prog="worker.py", description=__doc__)
    parser.add_argument("--queues", nargs="+", choices=QUEUES, default=list(USUAL_QUEUES))
    queues = parser.parse_args(arguments).queues
    if "candidates" in queues and not extra.is_there():
        print(f"The queue candidates: {extra.ADVICE}", file=sys.stderr)
        return 2
    rt = job_runtime()
    if rt.settings.redis_url is None:
        print("No Redis: set REDIS_URL, or run `crowd standalone`.", file=sys.stderr)
        return 2
    threading.Thread(target=_tick, args=(rt.queue,), daemon=True, name="upkeep-ticker").start()
    try:
        while not _work(rt.settings.redis_url, queues):
            time.sleep(1)
    except StopRequested:
        # RQ's signal handlers outlive its work: told to stop just between two attempts.
        pass
    return 0


def _work(redis_url: str, queues: list[str]) -> bool:
    """Work off the queues until told to stop (True), or until Redis went away (False)."""
    connection = connect(redis_url)
    listener: Listener | None = None
    try:
        listener = Listener(
            [Queue(name, connection=connection) for name in queues],
            connection=connection,
            worker_ttl=LISTENER_SECONDS,
        )
        listener.work(with_scheduler=False, logging_level="WARNING")
    except RedisError as error:
        log.warning("redis_away", error=str(error))
    if listener is None:
        return False
    listener.hang_up()
    return listener.told_to_stop


def _tick(queue: JobQueue) -> None:
    """Ask for upkeep, for ever; several job workers asking leave one job in the queue."""
    while True:
        queue.nudge("upkeep")
        time.sleep(UPKEEP_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
