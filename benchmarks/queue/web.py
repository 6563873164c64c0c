"""What a cycle (claim, answer) costs over HTTP, how quick it is, and how much of it is the application's."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.queue import people
from benchmarks.queue.build import Built
from benchmarks.queue.figures import Figure
from benchmarks.queue.load import Order
from benchmarks.queue.same import check
from benchmarks.queue.serving import Load, Series, Web, gunicorn, load_generator, one_round, place

PEOPLE = 200
THINK = 1.0
FLOOR = "benchmarks.queue.floor:create_app()"
PART = "http"
# Milliseconds of server processor time a cycle of Label Studio as a whole, measured on a machine of two
# shared processors as part of the research before this one was built; between 160 and 350. Not measured here.
LABEL_STUDIO_MS = 200.0
CHEAPER = 60
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Length:
    """How long to measure: seconds of a round, how many rounds of each server, people at once."""

    seconds: float
    rounds: int
    people: int = PEOPLE


def order(database: Built, web: Web, length: Length, think: float = 0.0, share: float = 1.0) -> Order:
    """The order for a round on one server."""
    tokens = [member.token for member in people.sample(database.seed, length.people)]
    return Order(web.port, tokens, length.seconds * share, think, database.replies.as_json())


def measure(database: Built, length: Length, say: Say) -> list[Figure]:
    """The application and the floor in turns, then people who think a second."""
    with ExitStack() as stack:
        folder, redis = stack.enter_context(place())
        compared = check(database, folder)
        say(
            f"application and floor run the same SQL at {', '.join(compared) or 'no stage: nothing is ready'}"
        )
        load = stack.enter_context(load_generator())
        app = stack.enter_context(gunicorn("application", database.url, folder, redis))
        floor = stack.enter_context(gunicorn("floor", database.url, folder, redis, app=FLOOR))
        ours, least = in_turns(database, load, [app, floor], length, say)
        thinking = Series("application, thinking")
        for _ in range(length.rounds):
            thinking.rounds.append(
                one_round(load, app, database.server.pid, order(database, app, length, THINK))
            )
        say(summary(thinking))
    return [
        *_figures(ours, least),
        *_latencies(ours, f"{length.people} without a pause"),
        *_processor(thinking, f"{length.people} who think {THINK:g} s"),
        *_latencies(thinking, f"{length.people} who think {THINK:g} s"),
    ]


def in_turns(database: Built, load: Load, webs: Sequence[Web], length: Length, say: Say) -> list[Series]:
    """Rounds of each server one after the other, again and again: what else the machine does meets all."""
    series = [Series(web.name) for web in webs]
    for web in webs:
        # Connections, prepared statements and marks are made by people who come before the rounds.
        load.carry_out(order(database, web, length, share=0.5))
    for number in range(length.rounds):
        places = list(range(len(webs)))
        for at in places if number % 2 == 0 else reversed(places):
            found = one_round(load, webs[at], database.server.pid, order(database, webs[at], length))
            series[at].rounds.append(found)
            say(
                f"{series[at].name}: {found.cycles / found.outcome.seconds:.0f} cycles/s, "
                f"{found.per_cycle(found.web):.2f} + {found.per_cycle(found.postgres):.2f} ms of processor"
            )
    for each in series:
        say(summary(each))
    return series


def summary(series: Series) -> str:
    """One server's rounds in a line."""
    words = [
        f"{series.name}: {series.per_second:.0f} cycles/s",
        f"web {series.web_ms:.2f} ms + PostgreSQL {series.postgres_ms:.2f} ms a cycle",
        "claim p50/p95/p99 "
        + "/".join(f"{series.claim_ms(share):.0f}" for share in (0.5, 0.95, 0.99))
        + " ms",
        "answer " + "/".join(f"{series.submit_ms(share):.0f}" for share in (0.5, 0.95, 0.99)) + " ms",
        f"{len(series.errors)} errors {series.errors[:2] or ''}",
        f"{sum(each.outcome.nothing for each in series.rounds)} without a task; {series.cycles}",
    ]
    return "; ".join(words)


def _figures(ours: Series, least: Series) -> list[Figure]:
    return [
        Figure(PART, "web processor time a cycle", "ms", ours.web_ms, least.web_ms, most=2.0),
        Figure(PART, "PostgreSQL's processor time a cycle", "ms", ours.postgres_ms, least.postgres_ms),
        Figure(PART, "both together", "ms", ours.all_ms, least.all_ms, most=2.0),
        Figure(
            PART,
            f"both together, against {LABEL_STUDIO_MS:g} ms of Label Studio measured whole "
            f"(research figure), wanted: {CHEAPER} times cheaper",
            "ms",
            ours.all_ms,
            LABEL_STUDIO_MS,
            bound=LABEL_STUDIO_MS / CHEAPER,
        ),
        Figure(PART, "cycles a second", "/s", ours.per_second, least.per_second),
        Figure(PART, "errors of the floor", "errors", float(len(least.errors)), bound=0),
    ]


def _processor(series: Series, who: str) -> list[Figure]:
    """What a cycle of people who do not keep the server busy takes of it."""
    return [
        Figure(PART, f"web processor time a cycle, {who}", "ms", series.web_ms),
        Figure(PART, f"PostgreSQL's processor time a cycle, {who}", "ms", series.postgres_ms),
        Figure(PART, f"both together, {who}", "ms", series.all_ms),
    ]


def _latencies(series: Series, who: str) -> list[Figure]:
    figures = [
        Figure(PART, f"{what} {name}, {who}", "ms", times(share))
        for what, times in (("claim", series.claim_ms), ("answer", series.submit_ms))
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    ]
    return [
        *figures,
        Figure(PART, f"cycles a second, {who}", "/s", series.per_second),
        Figure(PART, f"errors, {who}", "errors", float(len(series.errors)), bound=0),
    ]
