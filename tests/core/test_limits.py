"""Counting in Redis, and in memory while Redis is away."""

import socket
import time
from pathlib import Path

import pytest
from limits import RateLimitItemPerMinute

from crowd.core import limits
from crowd.core.errors import Forbidden, TooMany, Unavailable
from crowd.core.limits import Counters, LoginThrottle, network_of
from tests.servers import start_redis

THREE = RateLimitItemPerMinute(3)


def test_counts_are_shared_through_redis(redis_url: str) -> None:
    one, other = Counters(redis_url), Counters(redis_url)
    assert [counters.take(THREE, "a") for counters in (one, other, one)] == [None] * 3
    wait = other.take(THREE, "a")
    assert wait is not None
    assert 0 < wait <= 60
    assert one.take(THREE, "b") is None


def test_what_is_given_back_can_be_taken_again(redis_url: str) -> None:
    for counters in (Counters(redis_url), Counters(None)):
        for _ in range(10):
            assert counters.take(THREE, "a") is None
            counters.give_back(THREE, "a")


def test_silent_redis_costs_one_short_wait_and_not_one_per_request() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        counters = Counters(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        started = time.monotonic()
        answers = [counters.take(THREE, "a") is None for _ in range(20)]
        assert answers == [True] * 3 + [False] * 17
        assert time.monotonic() - started < 4


def test_redis_is_used_again_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_server: str | None
) -> None:
    if redis_server is None:
        pytest.skip("no Redis server binary here")
    monkeypatch.setattr(limits, "RECHECK_SECONDS", 0.2)
    with start_redis(tmp_path) as url:
        counters = Counters(url)
        assert counters.take(THREE, "a") is None
    assert counters.take(THREE, "a") is None
    time.sleep(0.25)
    with start_redis(tmp_path) as url:
        shared = Counters(url)
        for _ in range(3):
            shared.take(THREE, "a")
        assert counters.take(THREE, "a") is not None


def throttle() -> LoginThrottle:
    return LoginThrottle(Counters(None), per_account=2, per_address=4)


def wrong(guesses: LoginThrottle, account: str, address: str = "10.0.0.1") -> None:
    with pytest.raises(Forbidden), guesses.guess(account, address):
        raise Forbidden("wrong", "wrong")


def test_breakdown_is_not_the_guessers_fault() -> None:
    guesses = throttle()
    for _ in range(10):
        with pytest.raises(Unavailable), guesses.guess("anna", "10.0.0.1"):
            raise Unavailable("away", "away")
        with pytest.raises(ValueError, match="bug"), guesses.guess("anna", "10.0.0.1"):
            raise ValueError("bug")


def test_refused_guesses_do_not_use_up_the_address() -> None:
    guesses = throttle()
    wrong(guesses, "anna")
    wrong(guesses, "anna")
    for _ in range(10):
        with pytest.raises(TooMany), guesses.guess("anna", "10.0.0.1"):
            raise AssertionError("must not be tried")
    wrong(guesses, "ben")
    wrong(guesses, "ben")
    with pytest.raises(TooMany), guesses.guess("carl", "10.0.0.1"):
        raise AssertionError("must not be tried")


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::"),
        ("2001:db8::ffff:1", "2001:db8::"),
        ("2001:db8:0:1::1", "2001:db8:0:1::"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        (None, "unknown"),
        ("unix", "unknown"),
    ],
)
def test_addresses_of_one_customer_count_as_one(address: str | None, counted_as: str) -> None:
    assert network_of(address) == counted_as
