"""The desk of a running system: the same turns over HTTP, one request after the other."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import httpx

from crowd.policy import Stage
from crowd.simulation.bots import Action, Release, SendBack, Submit
from crowd.simulation.client import Client, Unexpected, expect
from crowd.simulation.crew import Persona
from crowd.simulation.ledger import Ledger
from crowd.simulation.uploads import RIGHTS, SUPPLIER


class Remote:
    """A crew with accounts, and images that were handed in, in a system of their own."""

    def __init__(self, http: httpx.Client, token: str, members: Iterable[Persona], name: str) -> None:
        """Takes the members on, in their order: their ids rise with their numbers. Raises Unexpected."""
        self._http = http
        self._admin = self._client(token)
        self._ids: dict[int, int] = {}
        self._clients: dict[int, Client] = {}
        self._numbers: dict[int, int] = {}
        for member in members:
            body = {"username": f"{name}-{member.number:03}", "grade": str(member.grade)}
            welcome = expect(self._admin.send("POST", "/workers", json=body), 201).json()
            self._ids[member.number] = welcome["id"]
            self._clients[member.number] = self._client(welcome["token"])

    def fetch(self, path: str) -> Any:
        """What an admin reads there. Raises Unexpected."""
        return self._admin.fetch(path)

    def hand_in(self, number: int, file_name: str, data: bytes) -> None:
        """Upload a picture; one that is held for looking like another is let in. Raises Unexpected."""
        response = self._admin.send(
            "POST",
            "/images",
            data={"supplier": SUPPLIER, "rights": RIGHTS},
            files={"file": (file_name, data, "image/jpeg")},
        )
        taken = expect(response, 201).json()
        self._numbers[taken["id"]] = number
        if taken["state"] != "accepted":
            decided = {"state": "in_work", "stage": "segmentation", "reason": "a picture of its own"}
            expect(self._admin.send("POST", f"/images/{taken['id']}/decide", json=decided), 200)

    def claim(self, member: Persona, only: Stage | None) -> Mapping[str, Any] | None:
        """See Desk.claim. Raises Unexpected."""
        wish = {"stage": str(only)} if only else {}
        client = self._clients[member.number]
        response = expect(client.send("POST", "/tasks/claim", json=wish, repeatable=False), 200, 204)
        if response.status_code == httpx.codes.NO_CONTENT:
            return None
        task = response.json()
        number = self._numbers.get(task["image"]["id"])
        if number is None:
            raise Unexpected(f"the system gave out image {task['image']['id']}, which is none of this run's")
        return {**task, "image": {**task["image"], "id": number}}

    def answer(self, member: Persona, task: Mapping[str, Any], action: Action) -> None:
        """See Desk.answer. Raises Unexpected."""
        client, token = self._clients[member.number], task["lease"]["token"]
        path = f"/tasks/{task['id']}"
        match action:
            case Submit(result):
                sent = client.send("POST", f"{path}/submit", json={"token": token, "result": result})
                expect(sent, 200)
            case SendBack(to, reasons):
                body = {"token": token, "to": str(to), "reasons": reasons}
                expect(client.send("POST", f"{path}/send-back", json=body), 200)
            case Release(skip):
                expect(client.send("POST", f"{path}/release", json={"token": token, "skip": skip}), 204)

    def scores(self, numbers: Sequence[int]) -> dict[tuple[int, str], dict[str, Any]]:
        """Every member's figures by number and stage, as GET /workers/{id}/quality tells an admin."""
        return {
            (number, stage): {name: told[name] for name in ("score", "lower", "upper", "n")}
            for number in numbers
            for stage, told in self.fetch(f"/workers/{self._ids[number]}/quality")["stages"].items()
        }

    def states(self) -> dict[int, tuple[str, dict[str, Any]]]:
        """By the images' numbers: state and labels."""
        found = {number: self.fetch(f"/images/{image_id}") for image_id, number in self._numbers.items()}
        return {number: (image["state"], image["labels"]) for number, image in found.items()}

    def _client(self, token: str) -> Client:
        return Client(self._http, token, Ledger(), threading.Event())
