"""One bot at work: claims, thinks, answers, waits; in a thread of its own."""

import contextlib
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from crowd.policy import Grade, Stage
from crowd.simulation.bots import Action, Release, SendBack, Submit, after_candidates, decide
from crowd.simulation.client import (
    PREFIX,
    Client,
    Lost,
    Stopped,
    Unexpected,
    Unreachable,
    describe,
    expect,
    problem_code,
    retry_after,
)
from crowd.simulation.crew import Persona
from crowd.simulation.influence import Influence, seconds_spent
from crowd.simulation.ledger import Ledger, Timed
from crowd.simulation.truths import Truths

FIRST_REST_SECONDS = 0.1
LONGEST_REST_SECONDS = 1.5
REST_GROWTH = 1.5
BATCH_SHARE = 0.3
BATCH_SIZE = 8
# Empty-handed claims of the stage in focus before anything else is looked for.
FOCUS_PATIENCE = 6
THINKING = (0.5, 1.5)
# Bots are in more of a hurry than people: those that candidates are to move do one stage after the other,
# so that the models have a moment for what the next one brings.
IN_TURN = (Stage.SEGMENTATION, Stage.ATTRIBUTES)
LABELLERS = frozenset((Grade.GENERAL, Grade.SEMI_EXPERT, Grade.REVIEWER))
# After these the image may have left the work: somebody should look.
ENDINGS = frozenset((Stage.SECOND_REVIEW, Stage.ADJUDICATION))


class Board(Protocol):
    """Where members tell which images they came across."""

    def saw(self, image_id: int) -> None:
        """An image is in work."""

    def may_be_settled(self) -> None:
        """An image may have left the work."""


@dataclass(frozen=True, slots=True)
class Account:
    """A member of the crew with an account in the system."""

    persona: Persona
    username: str
    token: str


@dataclass(frozen=True, slots=True)
class Workshop:
    """What all members of a crowd share.

    `think`: seconds a task takes on average; `influence`: what candidates do to them (None: nothing).
    """

    truths: Truths
    ledger: Ledger
    board: Board
    stop: threading.Event
    seed: int
    think: float
    influence: Influence | None = None


class Member:
    """A bot. `idle_since` (monotonic seconds) is None while it has, or may have, something to do."""

    def __init__(self, account: Account, client: Client, shop: Workshop) -> None:
        self.account = account
        self.idle_since: float | None = None
        self._persona = account.persona
        self._client = client
        self._shop = shop
        self._rng = random.Random(f"{shop.seed}/{account.persona.number}")
        self._empty_handed = 0
        moved = shop.influence is not None and account.persona.grade in LABELLERS
        self._turns = list(IN_TURN) if moved else []

    def work(self) -> None:
        """Work until told to stop, then hand back what is still held."""
        while not self._shop.stop.is_set():
            try:
                self._hand_back_leftovers()
                self._shift()
            except Stopped:
                self._leave()
            except Lost:
                # A claim may have got through: back to handing back what is held.
                continue
            except (Unexpected, Unreachable) as failure:
                self._shop.ledger.note_error(str(failure))
                # A bot that gets nowhere counts as idle, or a run in which all fail would never end.
                self.idle_since = self.idle_since or time.monotonic()
                self._shop.stop.wait(LONGEST_REST_SECONDS)

    def _shift(self) -> None:
        while not self._shop.stop.is_set():
            tasks = self._claim()
            if not tasks:
                continue
            self.idle_since = None
            self._empty_handed = 0
            for task in tasks:
                self._shop.board.saw(task["image"]["id"])
            if len(tasks) == 1:
                self._do(tasks[0])
            else:
                self._do_grid(tasks)

    def _hand_back_leftovers(self) -> None:
        """Release what an earlier run, or a claim whose answer got lost, left in this bot's hands."""
        for lease in self._client.fetch("/me")["leases"]:
            path = f"/tasks/{lease['task_id']}/release"
            self._client.send("POST", path, json={"token": lease["token"], "reason": "left over"})

    def _leave(self) -> None:
        # Nobody waits for a server that is away as well.
        with contextlib.suppress(Stopped, Unexpected, Unreachable):
            self._hand_back_leftovers()

    def _claim(self) -> list[dict[str, Any]]:
        if self._persona.grade is Grade.INSPECTOR and self._rng.random() < BATCH_SHARE:
            grid = self._claim_grid()
            if grid:
                return grid
        response = self._client.send(
            "POST", "/tasks/claim", json=self._wish(), timed=Timed.CLAIM, repeatable=False
        )
        if expect(response, 200, 204).status_code == 200:
            return [response.json()]
        self._wait_for_work(response)
        return []

    def _wish(self) -> dict[str, str]:
        if self._turns:
            return {"stage": str(self._turns[0])}
        focus = self._persona.focus
        patient = self._empty_handed % (FOCUS_PATIENCE + 1) < FOCUS_PATIENCE
        return {"stage": str(focus)} if focus and patient else {}

    def _claim_grid(self) -> list[dict[str, Any]]:
        body = {"stage": str(Stage.SECOND_REVIEW), "limit": BATCH_SIZE}
        response = self._client.send("POST", "/tasks/claim-batch", json=body, repeatable=False)
        tasks: list[dict[str, Any]] = expect(response, 200).json()["tasks"]
        return tasks

    def _wait_for_work(self, response: httpx.Response) -> None:
        """A 204 says when to ask again; a simulation is in more of a hurry, but not without rest."""
        self._empty_handed += 1
        if self.idle_since is None and self._empty_handed > FOCUS_PATIENCE:
            self.idle_since = time.monotonic()
        if self._turns and self._empty_handed > FOCUS_PATIENCE:
            self._turns.pop(0)
            self._empty_handed = 0
        pause = FIRST_REST_SECONDS * REST_GROWTH ** min(self._empty_handed, 10)
        self._rest(min(pause, LONGEST_REST_SECONDS, retry_after(response)))

    def _do(self, task: dict[str, Any]) -> None:
        seconds = self._think(task)
        action = self._decide(task)
        response = self._send(task, action, seconds)
        if response.status_code == 409:
            self._shop.ledger.note_conflict(problem_code(response))
        elif response.status_code == 422:
            self._shop.ledger.note_error(describe(response))
            self._release(task, skip=True)
        else:
            expect(response, 200, 204)
            if not isinstance(action, Release):
                self._finished(task, action)

    def _send(self, task: dict[str, Any], action: Action, seconds: float) -> httpx.Response:
        match action:
            case Submit(result=result):
                body = {"token": task["lease"]["token"], "result": result, "seconds": seconds}
                return self._client.send("POST", f"/tasks/{task['id']}/submit", json=body, timed=Timed.SUBMIT)
            case SendBack(to, reasons):
                body = {"token": task["lease"]["token"], "to": str(to), "reasons": reasons}
                return self._client.send("POST", f"/tasks/{task['id']}/send-back", json=body)
            case Release(skip):
                return self._release(task, skip=skip)

    def _release(self, task: dict[str, Any], *, skip: bool) -> httpx.Response:
        body = {"token": task["lease"]["token"], "skip": skip}
        return self._client.send("POST", f"/tasks/{task['id']}/release", json=body)

    def _do_grid(self, tasks: list[dict[str, Any]]) -> None:
        answers = []
        by_id = {task["id"]: task for task in tasks}
        for task in tasks:
            seconds = self._think(task)
            action = self._decide(task)
            if isinstance(action, Submit):
                answer = {"task_id": task["id"], "token": task["lease"]["token"], "result": action.result}
                answers.append({**answer, "seconds": seconds})
            else:
                self._release(task, skip=False)
        if not answers:
            return
        response = self._client.send("POST", "/tasks/submit-batch", json={"answers": answers})
        for outcome in expect(response, 200).json()["outcomes"]:
            self._note_outcome(outcome, by_id[outcome["task_id"]])

    def _note_outcome(self, outcome: Mapping[str, Any], task: dict[str, Any]) -> None:
        if outcome["status"] == 200:
            self._finished(task, None)
        elif outcome["status"] == 409:
            self._shop.ledger.note_conflict(str(outcome.get("code")))
        else:
            self._shop.ledger.note_error(f"submit-batch: {outcome['status']} {outcome.get('code')}")

    def _decide(self, task: dict[str, Any]) -> Action:
        truths = self._shop.truths
        truth = truths.of(task["image"], lambda: self._look_at(task["image"]["url"]))
        action = decide(task, truth, self._persona, truths.vocabulary, self._rng)
        influence = self._shop.influence
        if influence is None:
            return action
        return after_candidates(action, task, influence, truths.vocabulary, self._rng)

    def _look_at(self, url: str) -> str:
        """What the server calls the picture at `url`: people know it again, whatever its number."""
        shown = expect(self._client.send("HEAD", url.removeprefix(PREFIX)), 200)
        return shown.headers["ETag"]

    def _finished(self, task: dict[str, Any], action: Action | None) -> None:
        stage = Stage(task["stage"])
        self._shop.ledger.note_done(stage, task.get("cause"))
        if isinstance(action, Submit) and action.effect is not None:
            self._shop.ledger.note_effect(stage, action.effect)
        refusing = isinstance(action, Submit) and "unusable" in action.result
        if stage in ENDINGS or refusing:
            self._shop.board.may_be_settled()

    def _think(self, task: Mapping[str, Any]) -> float:
        influence, mean = self._shop.influence, self._shop.think
        if influence is None:
            seconds = mean * self._rng.uniform(*THINKING)
        else:
            shown = task.get("candidates") is not None
            seconds = seconds_spent(mean, shown=shown, influence=influence, rng=self._rng)
        self._rest(seconds)
        return round(seconds, 3)

    def _rest(self, seconds: float) -> None:
        if seconds and self._shop.stop.wait(seconds):
            raise Stopped
