"""Background work through RQ.

The database says what is pending; a job only says "go and look". So a job carries no data,
may run twice, and may get lost: the next sweep asks again.
"""

from dataclasses import dataclass
from typing import Any

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel
from rq import Queue

from crowd.core.sentinel import SentinelAddress, is_sentinel, parse_sentinel

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client waits for Redis: seconds to connect, seconds for an answer, and further tries."""

    connect: float
    answer: float
    retries: int


# A request or a load balancer's probe waits for the answer, and a nudge that fails is asked again anyway.
# The second try is for a pooled connection that a restarted Redis has closed.
HASTY = Patience(connect=0.5, answer=0.5, retries=1)
# A job worker has nothing else to do.
PATIENT = Patience(connect=2.0, answer=10.0, retries=0)


class JobQueue:
    """Asks job workers to look; one RQ queue for each kind of work."""

    def __init__(self, redis_url: str | None) -> None:
        self.redis_url = redis_url
        self._redis = connect(redis_url, HASTY) if redis_url else None

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


def connect(redis_url: str, patience: Patience = PATIENT) -> Redis:
    """A Redis client that notices a dead server in time; through Sentinels it follows the master.

    Raises ValueError for an address that cannot be understood.
    """
    options: dict[str, Any] = {
        "socket_connect_timeout": patience.connect,
        "socket_timeout": patience.answer,
        "health_check_interval": 30,
        "retry": Retry(NoBackoff(), patience.retries),
    }
    if is_sentinel(redis_url):
        return _master(parse_sentinel(redis_url), patience, options)
    return Redis.from_url(redis_url, **options)


def _master(address: SentinelAddress, patience: Patience, options: dict[str, Any]) -> Redis:
    # They are asked one after the other, so one that is down must not use up the whole patience.
    sentinel_options = {
        "socket_connect_timeout": min(patience.connect, 0.5),
        "socket_timeout": min(patience.answer, 0.5),
        "retry": Retry(NoBackoff(), 0),
        "username": address.sentinel_username,
        "password": address.sentinel_password,
    }
    sentinel = Sentinel(address.sentinels, sentinel_kwargs=sentinel_options)  # type: ignore[no-untyped-call]
    login = {"username": address.username, "password": address.password}
    client: Redis = sentinel.master_for(address.service, **login, **options)  # type: ignore[no-untyped-call]
    return client
