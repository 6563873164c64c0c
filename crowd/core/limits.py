"""How often somebody may do something: counted in Redis, in memory while Redis is away."""

import ipaddress
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis.exceptions import RedisError

from crowd.core.errors import Problem, TooMany
from crowd.core.problems import retry_after
from crowd.core.queue import Patience, connect

log = structlog.get_logger(__name__)
T = TypeVar("T")

RECHECK_SECONDS = 10.0
WINDOW_SECONDS = 60.0
# So many times at most does a process ask the shared window about one account in a minute.
PORTIONS = 60


class Counters:
    """Windows of a minute, shared by all processes through Redis as long as it answers."""

    def __init__(self, redis_url: str | None) -> None:
        self._memory = FixedWindowRateLimiter(MemoryStorage())
        self._shared = FixedWindowRateLimiter(_redis_storage(redis_url)) if redis_url else None
        self._away_until = 0.0
        self._away = False

    def take(self, item: RateLimitItem, *names: str, cost: int = 1) -> float | None:
        """Count `cost`: None if it is within `item`, else the seconds until the window ends."""

        def count(windows: FixedWindowRateLimiter) -> float | None:
            if windows.hit(item, *names, cost=cost):
                return None
            return max(0.0, windows.get_window_stats(item, *names).reset_time - time.time())

        return self._ask(count)

    def give_back(self, item: RateLimitItem, *names: str) -> None:
        """Take one count back."""
        self._ask(lambda windows: windows.hit(item, *names, cost=-1))

    def _ask(self, question: Callable[[FixedWindowRateLimiter], T]) -> T:
        if self._shared is None or time.monotonic() < self._away_until:
            return question(self._memory)
        if self._away:
            # One request alone tries whether Redis is back; the others must not wait with it.
            self._away_until = time.monotonic() + RECHECK_SECONDS
        try:
            answer = question(self._shared)
        except RedisError as error:
            log.warning("limits_without_redis", error=str(error))
            self._away, self._away_until = True, time.monotonic() + RECHECK_SECONDS
            return question(self._memory)
        self._away, self._away_until = False, 0.0
        return answer


class RequestLimit:
    """So many requests of one account in a minute.

    Each process takes some at a time from the shared window, so that not every request asks Redis. An
    account never gets more than its number; spread over many processes it may get a few less.
    """

    def __init__(self, counters: Counters, per_minute: int) -> None:
        self._counters = counters
        self._item = RateLimitItemPerMinute(per_minute, namespace="requests")
        self._portion = max(1, per_minute // PORTIONS)
        self._in_hand: dict[int, tuple[int, float]] = {}
        self._turn = threading.Lock()

    def count(self, account: int) -> None:
        """Count one request. Raises TooMany."""
        if self._use_one(account):
            return
        wait = self._counters.take(self._item, str(account), cost=self._portion)
        if wait is None:
            self._keep_rest(account)
        elif self._portion > 1:
            wait = self._counters.take(self._item, str(account))
        if wait is not None:
            raise TooMany("too_many_requests", "Too many requests; slow down.", headers=retry_after(wait))

    def _use_one(self, account: int) -> bool:
        with self._turn:
            left, until = self._in_hand.get(account, (0, 0.0))
            if not left or time.monotonic() > until:
                return False
            self._in_hand[account] = (left - 1, until)
            return True

    def _keep_rest(self, account: int) -> None:
        with self._turn:
            self._in_hand[account] = (self._portion - 1, time.monotonic() + WINDOW_SECONDS)


class LoginThrottle:
    """So many wrong guesses in a minute: at one account from one address, and from one address at all.

    An account is never locked: its owner comes in from another address, or a minute later.
    """

    def __init__(self, counters: Counters, *, per_account: int, per_address: int) -> None:
        self._counters = counters
        self._account = RateLimitItemPerMinute(per_account, namespace="logins")
        self._address = RateLimitItemPerMinute(per_address, namespace="addresses")
        self._turns = [threading.Lock() for _ in range(64)]

    @contextmanager
    def guess(self, account: str, address: str | None) -> Iterator[None]:
        """One guess at a password; it counts as wrong if the block raises a refusal (a Problem below 500).

        Raises TooMany. It is counted before the block, so that guesses made at the same time cannot
        all slip through, and given back after a right one. Guesses at one account take turns, else
        the owner's own logins of the same moment would count against each other.
        """
        place = network_of(address)
        with self._turns[hash((account, place)) % len(self._turns)]:
            self._take(account, place)
            try:
                yield
            except Problem as problem:
                if problem.status >= 500:
                    self._give_back(account, place)
                raise
            except BaseException:
                self._give_back(account, place)
                raise
            self._give_back(account, place)

    def _take(self, account: str, place: str) -> None:
        wait = self._counters.take(self._account, place, account)
        if wait is None:
            wait = self._counters.take(self._address, place)
        if wait is not None:
            raise TooMany(
                "too_many_logins", "Too many wrong logins; wait a little.", headers=retry_after(wait)
            )

    def _give_back(self, account: str, place: str) -> None:
        self._counters.give_back(self._account, place, account)
        self._counters.give_back(self._address, place)


def network_of(address: str | None) -> str:
    """What counts as one address: an IPv4 address, or the /64 that an IPv6 customer owns."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)
    return str(parsed)


def _redis_storage(url: str) -> RedisStorage:
    # The library reads the address itself, but logs in to Sentinels with Redis's password; so it gets a
    # client's pool. A dead Redis has to be noticed at once: a person is waiting for the answer.
    client = connect(url, Patience(connect=0.5, answer=1.0, retries=0))
    return RedisStorage("redis://", connection_pool=client.connection_pool, key_prefix="crowd")
