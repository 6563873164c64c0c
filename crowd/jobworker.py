"""The RQ job worker process: works on queues, and asks for upkeep every few seconds."""

import argparse
import sys
import threading
import time

import structlog
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker

from crowd.core.queue import JobQueue, connect
from crowd.jobs import QUEUES, job_runtime

UPKEEP_SECONDS = 5.0

log = structlog.get_logger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Work until told to stop. Returns the exit code: 2 without a Redis address."""
    parser = argparse.ArgumentParser(prog="worker.py", description=__doc__)
    parser.add_argument("--queues", nargs="+", choices=QUEUES, default=list(QUEUES))
    queues = parser.parse_args(arguments).queues
    rt = job_runtime()
    if rt.settings.redis_url is None:
        print("No Redis: set REDIS_URL, or run `crowd standalone`.", file=sys.stderr)
        return 2
    threading.Thread(target=_tick, args=(rt.queue,), daemon=True, name="upkeep-ticker").start()
    while True:
        try:
            _work(rt.settings.redis_url, queues)
        except RedisError as error:
            log.warning("redis_away", error=str(error))
            time.sleep(1)
        else:
            return 0


def _work(redis_url: str, queues: list[str]) -> None:
    # One long-lived process: forking for each job would throw away every warm cache and pool.
    connection = connect(redis_url)
    worker = SimpleWorker([Queue(name, connection=connection) for name in queues], connection=connection)
    worker.work(with_scheduler=False, logging_level="WARNING")


def _tick(queue: JobQueue) -> None:
    """Ask for upkeep, for ever; several job workers asking leave one job in the queue."""
    while True:
        queue.nudge("upkeep")
        time.sleep(UPKEEP_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
