"""A light HTTP client of one account: one connection, every request in the ledger. Knows no task."""

import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.ledger import UNCERTAIN, Ledger, Request

REQUEST_SECONDS = 30.0
# Gunicorn closes a connection that rests for two seconds.
REST_SECONDS = 1.5
PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, or `status` None for a broken connection. Times in epoch seconds."""

    status: int | None
    sent: float
    got: float
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    data: bytes = b""

    @property
    def uncertain(self) -> bool:
        """Whether nobody can know what became of the request."""
        return self.status in UNCERTAIN

    @property
    def code(self) -> str | None:
        """The code of a problem."""
        return self.json.get("code") if isinstance(self.json, dict) else None


class Line:
    """A connection to the API as one account; to be used by one thread at a time."""

    def __init__(self, port: int, token: str, ledger: Ledger, over: threading.Event) -> None:
        self.port = port
        self.token = token
        self.ledger = ledger
        self.over = over
        self._connection: http.client.HTTPConnection | None = None
        self._used = 0.0

    def twin(self) -> "Line":
        """Another connection of the same account."""
        return Line(self.port, self.token, self.ledger, self.over)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        again: bool = False,
    ) -> Reply:
        """One attempt. `raw` bytes go as they are, else `body` as JSON."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        sent = time.time()
        try:
            connection = self._fresh()
            connection.request(method, f"/api/v1{path}", data, self._headers(headers))
            response = connection.getresponse()
            reply = _reply(response, response.read(), sent)
        except (OSError, http.client.HTTPException):
            self.close()
            reply = Reply(None, sent, time.time())
        self._used = time.monotonic()
        self.ledger.note_request(Request(sent, reply.got, reply.status, f"{method} {path}", again))
        return reply

    def insist(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        note: Callable[[Reply], None] | None = None,
        **more: Any,
    ) -> Reply:
        """Ask until the answer is certain or everything is over; `note` is told of each attempt."""
        attempt = 0
        while True:
            reply = self.ask(method, path, body, again=attempt > 0, **more)
            if note:
                note(reply)
            if not reply.uncertain or self.over.is_set():
                return reply
            time.sleep(random.uniform(0.5, 1.5) * PAUSES[min(attempt, len(PAUSES) - 1)])
            attempt += 1

    def shout(self, method: str, path: str, body: Any) -> Reply:
        """Send a request and hang up without waiting for the answer."""
        data = json.dumps(body).encode()
        head = [f"{method} /api/v1{path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(data)}"]
        head += [f"{name}: {value}" for name, value in self._headers(None).items()]
        sent = time.time()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=REQUEST_SECONDS) as wire:
                wire.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + data)
        except OSError:
            pass
        # It may be carried out at any time from now on: nobody listens for the end.
        self.ledger.note_request(Request(sent, sent, None, f"{method} {path}"))
        return Reply(None, sent, sent)

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _fresh(self) -> http.client.HTTPConnection:
        if time.monotonic() - self._used > REST_SECONDS:
            self.close()
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_SECONDS)
        return self._connection

    def _headers(self, more: Mapping[str, str] | None) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            **(more or {}),
        }


def _reply(response: http.client.HTTPResponse, data: bytes, sent: float) -> Reply:
    try:
        document = json.loads(data) if data else None
    except ValueError:
        document = None
    return Reply(response.status, sent, time.time(), document, dict(response.headers.items()), data)
