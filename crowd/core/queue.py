"""Background work through RQ.

The database says what is pending; a job only says "go and look". So a job carries no data,
may run twice, and may get lost: the next sweep asks again.
"""

import structlog
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue

log = structlog.get_logger(__name__)


class JobQueue:
    """Asks job workers to look; one RQ queue for each kind of work."""

    def __init__(self, redis_url: str | None) -> None:
        self.redis_url = redis_url
        self._redis = connect(redis_url) if redis_url else None

    def nudge(self, kind: str) -> bool:
        """Ask for a look at `kind`, unless one is already asked for; call it after the commit.

        Returns False when Redis is away: nothing is lost, the sweep asks again.
        """
        if self._redis is None:
            return False
        try:
            queue = Queue(kind, connection=self._redis)
            # A job that waits has not looked yet, so it will see what this one is about.
            if len(queue) == 0:
                queue.enqueue(
                    f"crowd.jobs.{kind}",
                    result_ttl=0,
                    failure_ttl=86400,
                    job_timeout=6 * 3600,
                )
        except RedisError as error:
            log.warning("job_queue_away", kind=kind, error=str(error))
            return False
        return True

    def is_up(self) -> bool:
        """Whether Redis answers."""
        try:
            return self._redis is not None and bool(self._redis.ping())
        except RedisError:
            return False


def connect(redis_url: str) -> "Redis":
    """A Redis client that notices a dead server within seconds."""
    return Redis.from_url(redis_url, socket_connect_timeout=2, socket_timeout=10, health_check_interval=30)
