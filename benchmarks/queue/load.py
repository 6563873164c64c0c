"""The crowd over HTTP, in a process of its own: each person claims, answers, and claims again.

`python -m benchmarks.queue.load` reads one order (JSON) from its standard input, a line each, and writes
one outcome a line. Requests are bytes put together by hand: a client library would take more of the
processors than the server under measurement.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.queue.replies import Replies

HOST = "127.0.0.1"
# A person who was told that there is nothing asks again after so many seconds at most.
LONGEST_REST = 1.0
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Order:
    """Who works, for how long, where. `think`: seconds between having a task and answering it."""

    port: int
    tokens: list[str]
    seconds: float
    think: float
    replies: dict[str, Any]


@dataclass(slots=True)
class Outcome:
    """What came of an order. Times in seconds; `cycles` are answered tasks, by stage."""

    seconds: float = 0.0
    cycles: dict[str, int] = field(default_factory=dict)
    claims: list[float] = field(default_factory=list)
    submits: list[float] = field(default_factory=list)
    nothing: int = 0
    errors: list[str] = field(default_factory=list)


class _Client:
    def __init__(self, order: Order, token: str, replies: Replies, outcome: Outcome) -> None:
        self._order = order
        self._replies = replies
        self._outcome = outcome
        self._headers = (
            f"Host: {HOST}:{order.port}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\n"
        )
        self._claim = self._request("/api/v1/tasks/claim", b"{}")

    async def work(self, until: float, start_after: float) -> None:
        """Claim and answer until the time is over; the last task is still answered."""
        try:
            await asyncio.sleep(start_after)
            self._reader, self._writer = await asyncio.open_connection(HOST, self._order.port, limit=2**20)
            while time.monotonic() < until:
                await self._cycle()
            self._writer.close()
        except (OSError, ValueError, asyncio.IncompleteReadError, TimeoutError) as error:
            self._outcome.errors.append(f"{type(error).__name__}: {error}")

    async def _cycle(self) -> None:
        began = time.perf_counter()
        status, body = await self._exchange(self._claim)
        if status == 204:
            self._outcome.nothing += 1
            await asyncio.sleep(LONGEST_REST)
            return
        if status != 200:
            self._fail("claim", status, body)
            return
        self._outcome.claims.append(time.perf_counter() - began)
        task = json.loads(body)
        answer = {"token": task["lease"]["token"], "result": self._replies.to(task), "seconds": 41.5}
        sent = self._request(f"/api/v1/tasks/{task['id']}/submit", json.dumps(answer).encode())
        if self._order.think:
            await asyncio.sleep(self._order.think)
        began = time.perf_counter()
        status, body = await self._exchange(sent)
        if status != 200:
            self._fail(f"submit {task['stage']}", status, body)
            return
        self._outcome.submits.append(time.perf_counter() - began)
        stage = task["stage"]
        self._outcome.cycles[stage] = self._outcome.cycles.get(stage, 0) + 1

    async def _exchange(self, request: bytes) -> tuple[int, bytes]:
        self._writer.write(request)
        async with asyncio.timeout(PATIENCE):
            head = await self._reader.readuntil(b"\r\n\r\n")
            status = int(head[9:12])
            length, found, rest = 0, *_after(head.lower(), b"content-length:")
            if found:
                length = int(rest.partition(b"\r\n")[0])
            body = await self._reader.readexactly(length) if length else b""
        if b"connection: close" in head.lower():
            self._writer.close()
            self._reader, self._writer = await asyncio.open_connection(HOST, self._order.port, limit=2**20)
        return status, body

    def _request(self, path: str, body: bytes) -> bytes:
        return f"POST {path} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def _fail(self, what: str, status: int, body: bytes) -> None:
        self._outcome.errors.append(f"{what}: {status} {body[:300].decode(errors='replace')}")


def _after(text: bytes, word: bytes) -> tuple[bool, bytes]:
    _, found, rest = text.partition(word)
    return bool(found), rest


async def carry_out(order: Order) -> Outcome:
    """All of the order's people at once."""
    outcome = Outcome()
    replies = Replies.read(order.replies)
    began = time.monotonic()
    until = began + order.seconds
    # People who think all begin at other moments, else they would come in waves.
    spread = order.think / max(1, len(order.tokens))
    clients = [_Client(order, token, replies, outcome) for token in order.tokens]
    await asyncio.gather(*(client.work(until, spread * place) for place, client in enumerate(clients)))
    outcome.seconds = time.monotonic() - began
    return outcome


def main() -> None:
    """Carry out orders until there are no more."""
    for line in sys.stdin:
        outcome = asyncio.run(carry_out(Order(**json.loads(line))))
        words = {name: getattr(outcome, name) for name in Outcome.__dataclass_fields__}
        print(json.dumps(words), flush=True)


if __name__ == "__main__":
    main()
