"""A crowd of bots over HTTP: takes them on, lets them work, and knows when nothing is left to do."""

import dataclasses
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from crowd.policy import Grade, Stage
from crowd.simulation.client import Client, NotAdmin, expect
from crowd.simulation.crew import Persona
from crowd.simulation.figures import Figures, by_stage, latency_ms, shares_equal
from crowd.simulation.influence import Influence
from crowd.simulation.ledger import Ledger
from crowd.simulation.member import Account, Member, Workshop
from crowd.simulation.recovery import Recovery, recover
from crowd.simulation.truth import Truth
from crowd.simulation.truths import Truths

RECRUITERS = 4
LOOK_SECONDS = 0.5
# Images that people outside of this crowd settle are found by looking now and then all the same.
SWEEP_SECONDS = 15.0
# Of the time at most one part in so many goes into looking.
LOOK_RARITY = 20
# All bots without work for so long, and nothing that can be claimed: it is over.
QUIET_SECONDS = 3.0
# The same while work waits for people outside of this crowd.
STALLED_SECONDS = 20.0
FAREWELL_SECONDS = 40.0
IN_WORK = "in_work"
ACCEPTED = "accepted"
# Gold, under a number of its own: bots cannot tell it from an image of the set, their admin can.
SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run goes: the seed of all dice, seconds per task, seconds after which it is broken off.

    `influence`: what candidates do to the bots (None: nothing).
    """

    seed: int
    think: float
    timeout: float
    influence: Influence | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How a run stands: seconds so far, images by state, tasks done by stage, cycles per second."""

    seconds: float
    images: Mapping[str, int]
    done: Mapping[Stage, int]
    cycles_per_second: float


def recruit(admin: Client, personas: Sequence[Persona], seed: int) -> list[Account]:
    """An account for every persona. Raises Unexpected, Unreachable and Stopped."""
    suffix = secrets.token_hex(3)

    def join(persona: Persona) -> Account:
        name = f"bot-{seed}-{persona.number:02}-{suffix}"
        body = {"username": name, "grade": str(persona.grade)}
        welcome = expect(admin.send("POST", "/workers", json=body), 201).json()
        return Account(persona, name, welcome["token"])

    # The server hashes a password for each, which takes its time.
    with ThreadPoolExecutor(RECRUITERS, thread_name_prefix="recruit") as pool:
        return list(pool.map(join, personas))


def require_admin(admin: Client) -> None:
    """Raises NotAdmin unless the client's account is an admin's."""
    response = admin.send("GET", "/me")
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise NotAdmin("the server does not know this token: an admin's is needed")
    me = expect(response, 200).json()
    if me["grade"] != Grade.ADMIN:
        raise NotAdmin(f"{me['username']} is {me['grade']}: an admin's token is needed")


class Crowd:
    """One run. The images it waits for are those it is told of, those in work, and those its bots meet."""

    def __init__(
        self,
        http: httpx.Client,
        admin: Client,
        accounts: Sequence[Account],
        truths: Truths,
        ledger: Ledger,
        stop: threading.Event,
        plan: Plan,
    ) -> None:
        self._admin = admin
        self._truths = truths
        self._ledger = ledger
        self._stop = stop
        self._plan = plan
        self._lock = threading.Lock()
        self._unsettled: set[int] = set()
        self._settled: set[int] = set()
        self._changed = True
        self._next_look = 0.0
        shop = Workshop(truths, ledger, self, stop, plan.seed, plan.think, plan.influence)
        self._members = [Member(each, Client(http, each.token, ledger, stop), shop) for each in accounts]
        self._troubles: list[str] = []
        self._started = 0.0
        self._uses_before: list[dict[str, Any]] = []

    def saw(self, image_id: int) -> None:
        """An image is in work."""
        with self._lock:
            if image_id not in self._settled:
                self._unsettled.add(image_id)

    def may_be_settled(self) -> None:
        """An image may have left the work."""
        self._changed = True

    def run(self, image_ids: Sequence[int], show: Callable[[Snapshot], None]) -> Figures:
        """Work until nothing is left to do; `image_ids` were handed in for this run.

        Raises Unexpected and Unreachable. A KeyboardInterrupt passes through once every bot has stopped.
        """
        for image_id in image_ids:
            self.saw(image_id)
        for row in self._in_work():
            self._truths.recognise(row["id"], row["file_name"])
            self.saw(row["id"])
        before = self._admin.fetch("/stats/progress")
        self._uses_before = self._uses()
        self._started = time.monotonic()
        threads = [
            threading.Thread(target=member.work, name=member.account.username) for member in self._members
        ]
        for thread in threads:
            thread.start()
        try:
            self._watch(show, before["images"])
        finally:
            self._stop.set()
            deadline = time.monotonic() + FAREWELL_SECONDS
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
            # What follows is asked after the end.
            self._stop.clear()
        return self._figures(before, time.monotonic() - self._started)

    def _uses(self) -> list[dict[str, Any]]:
        """What candidates did so far, by model, where this crowd is moved by them."""
        if self._plan.influence is None:
            return []
        items: list[dict[str, Any]] = self._admin.fetch("/stats/candidates")["items"]
        return items

    def _recovery(self) -> Recovery | None:
        if self._plan.influence is None:
            return None
        return recover(self._plan.influence, self._ledger.effects, self._uses_before, self._uses())

    def _in_work(self) -> Iterator[dict[str, Any]]:
        return self._admin.pages("/images", state=IN_WORK)

    def _watch(self, show: Callable[[Snapshot], None], before: Mapping[str, int]) -> None:
        counts = before
        while not self._is_over():
            self._stop.wait(LOOK_SECONDS)
            now = time.monotonic()
            if now >= self._next_look and (self._changed or now >= self._next_look + SWEEP_SECONDS):
                self._look()
                counts = self._admin.fetch("/stats/progress")["images"]
            show(self._snapshot({state: counts[state] - before[state] for state in counts}))

    def _look(self) -> None:
        """Find out which images are still in work."""
        started = time.monotonic()
        # Lowered before the question: what changes meanwhile raises it again.
        self._changed = False
        with self._lock:
            asked = set(self._unsettled)
        gone = asked - {row["id"] for row in self._in_work()}
        with self._lock:
            self._unsettled -= gone
            self._settled |= gone
        ended = time.monotonic()
        # A look that was held up by a server on its way back must not keep the next one away for long.
        self._next_look = ended + min(LOOK_RARITY * (ended - started), SWEEP_SECONDS)

    def _is_over(self) -> bool:
        seconds = time.monotonic() - self._started
        if seconds > self._plan.timeout:
            self._troubles.append(f"broken off after {seconds:.0f} s")
            return True
        if not self._unsettled:
            return True
        quiet = self._quiet_seconds()
        if quiet < QUIET_SECONDS:
            return False
        return quiet >= STALLED_SECONDS or not self._something_can_move()

    def _quiet_seconds(self) -> float:
        """For how long no bot has had anything to do."""
        since = [member.idle_since for member in self._members]
        idle = [moment for moment in since if moment is not None]
        return time.monotonic() - max(idle) if idle and len(idle) == len(since) else 0.0

    def _something_can_move(self) -> bool:
        stages = self._admin.fetch("/stats/progress")["stages"].values()
        return any(stage["leased"] or stage["ready"] > stage["blocked"] for stage in stages)

    def _snapshot(self, settled: Mapping[str, int]) -> Snapshot:
        seconds = time.monotonic() - self._started
        images = {**settled, IN_WORK: len(self._unsettled)}
        return Snapshot(seconds, images, dict(self._ledger.done), self._ledger.cycles / max(seconds, 0.001))

    def _outcome(self) -> tuple[Counter[str], list[tuple[dict[str, Any], Truth]]]:
        """How many images stand in each state, and the labels and truths of the accepted ones."""
        states: Counter[str] = Counter()
        accepted = []
        for image_id in sorted(self._settled | self._unsettled):
            image = self._admin.fetch(f"/images/{image_id}")
            if image["state"] == SHADOW:
                continue
            states[image["state"]] += 1
            if image["state"] == ACCEPTED:
                accepted.append((image["labels"], self._truths.of(image)))
        return states, accepted

    def _figures(self, before: Mapping[str, Any], seconds: float) -> Figures:
        self._look()
        after = self._admin.fetch("/stats/progress")["stages"]
        states, accepted = self._outcome()
        ledger = self._ledger
        figures = Figures(
            seed=self._plan.seed,
            workers=len(self._members),
            seconds=round(seconds, 2),
            images=dict(states),
            tasks=by_stage(ledger.done),
            bounces={stage: after[stage]["bounced"] - before["stages"][stage]["bounced"] for stage in after},
            adjudications=dict(ledger.adjudications),
            equal_to_truth=shares_equal(accepted),
            cycles=ledger.cycles,
            cycles_per_second=round(ledger.cycles / max(seconds, 0.001), 2),
            latency_ms=latency_ms(ledger),
            statuses={str(status): count for status, count in sorted(ledger.statuses.items())},
            conflicts=dict(ledger.conflicts),
            retries=ledger.retries,
            errors=dict(ledger.errors),
            blocked=sum(stage["blocked"] for stage in after.values()),
            stuck=sum(stage["stuck"] for stage in after.values()),
            troubles=[],
            influence=self._recovery(),
        )
        return dataclasses.replace(figures, troubles=[*self._troubles, *self._found_troubles(figures)])

    def _found_troubles(self, figures: Figures) -> list[str]:
        troubles = [
            f"the server answered {status} to {count} requests"
            for status, count in figures.statuses.items()
            if status.startswith("5") and status != "503"
        ]
        if figures.errors:
            troubles.append(f"{sum(figures.errors.values())} requests failed in a way that should not happen")
        excused = self._waiting_for_admin()
        if left := len(self._unsettled - excused):
            troubles.append(f"{left} images are still in work, though neither blocked nor stuck")
        return troubles

    def _waiting_for_admin(self) -> set[int]:
        """The images of which only an admin can move a task."""
        if not self._unsettled:
            return set()
        kinds = ("blocked", "stuck")
        return {row["image_id"] for kind in kinds for row in self._admin.pages("/stats/attention", kind=kind)}
