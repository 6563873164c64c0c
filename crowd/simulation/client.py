"""The API as one account sees it: patience with a server that is busy or away. Knows no task."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx

from crowd.simulation.ledger import Ledger, Timed

PREFIX = "/api/v1"
REQUEST_SECONDS = 30.0
# How long a server may be away before a request is given up; at first contact it may just not be there.
PATIENCE_SECONDS = 60.0
FIRST_PATIENCE_SECONDS = 3.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
LONGEST_RETRY_AFTER_SECONDS = 30.0
BUSY = frozenset((429, 503))


class NotAdmin(Exception):
    """The token is not one of an admin in good standing."""


class Stopped(Exception):
    """The crowd was told to stop while this request waited."""


class Unreachable(Exception):
    """The server did not answer within the patience; the message says how it failed."""


class Lost(Exception):
    """The connection broke: whether the request arrived is not known."""


class Unexpected(Exception):
    """An answer that this client cannot go on with; the message holds method, path, status and problem."""


def open_http(url: str, connections: int) -> httpx.Client:
    """A connection pool for so many threads; it goes past the proxies that the environment names."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.Client(base_url=url.rstrip("/"), limits=limits, timeout=REQUEST_SECONDS, trust_env=False)


class Client:
    """One account. Many of them share one pool, one ledger and the event that stops them."""

    def __init__(
        self,
        http: httpx.Client,
        token: str,
        ledger: Ledger,
        stop: threading.Event,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"}
        self._ledger = ledger
        self._stop = stop
        self._patience = patience

    def send(
        self,
        method: str,
        path: str,
        *,
        timed: Timed | None = None,
        repeatable: bool = True,
        **options: Any,
    ) -> httpx.Response:
        """The answer, whatever its status but 429 and 503, after which it asks again in due time.

        A broken connection is tried again too if the request is `repeatable`, else it raises Lost.
        Raises Stopped and Unreachable.
        """
        deadline = time.monotonic() + self._patience
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                response = self._send_once(method, path, timed, options)
                if response.status_code not in BUSY:
                    return response
                failure, wait = f"{response.status_code} {problem_code(response)}", retry_after(response)
            except httpx.TransportError as error:
                failure, wait = type(error).__name__, pause
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                if not repeatable and not isinstance(error, httpx.ConnectError):
                    self._wait(wait)
                    raise Lost(failure) from None
            if time.monotonic() + wait > deadline:
                raise Unreachable(f"{method} {path}: {failure}")
            self._ledger.note_retry()
            self._wait(wait)

    def fetch(self, path: str, **query: Any) -> Any:
        """The JSON of a GET that has to succeed. Raises Unexpected and what `send` raises."""
        return expect(self.send("GET", path, params=query), 200).json()

    def pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every item of a listing, page by page. Raises what `fetch` raises."""
        cursor: Any = None
        while True:
            body = self.fetch(path, limit=200, **query, **({"cursor": cursor} if cursor else {}))
            yield from body["items"]
            cursor = body.get("next_cursor")
            if not cursor:
                return

    def _send_once(
        self, method: str, path: str, timed: Timed | None, options: dict[str, Any]
    ) -> httpx.Response:
        started = time.perf_counter()
        response = self._http.request(method, PREFIX + path, headers=self._headers, **options)
        self._ledger.note_response(response.status_code, timed, time.perf_counter() - started)
        return response

    def _wait(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopped


def expect(response: httpx.Response, *statuses: int) -> httpx.Response:
    """The response itself if it has one of the statuses. Raises Unexpected."""
    if response.status_code in statuses:
        return response
    raise Unexpected(describe(response))


def describe(response: httpx.Response) -> str:
    """What a person needs to know of an unwanted answer."""
    request = response.request
    body = _problem(response)
    errors = f" {body['errors']}" if body.get("errors") else ""
    detail = body.get("detail") or response.reason_phrase
    return f"{request.method} {request.url.path}: {response.status_code} {detail}{errors}"


def problem_code(response: httpx.Response) -> str:
    """The stable code of a problem, `unknown` where the body has none."""
    return str(_problem(response).get("code", "unknown"))


def retry_after(response: httpx.Response) -> float:
    """Seconds after which the server wants to be asked again, at most half a minute; else 1."""
    try:
        seconds = float(response.headers.get("Retry-After", 1))
    except ValueError:
        seconds = 1.0
    return min(max(seconds, 0.1), LONGEST_RETRY_AFTER_SECONDS)


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
