"""All that the API lets somebody read about a task of theirs is alike for gold and for work, at every stage.

One person does the same to a task of either sort, before and after their answer, with good requests and bad
ones, and keeps every status, header and document. Numbers and moments are left to test_attentive_worker.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from crowd.gold import dealing, service
from crowd.images import service as intake
from crowd.images.models import Image
from crowd.ml.serving import Shelf
from crowd.tasks import shadows
from tests.gold.conftest import GoldCrew
from tests.gold.test_attentive_worker import accepted, shape
from tests.kinds import Answer
from tests.scenarios.people import API, Json, Person, good_result, token_of

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

STAGES = ("segmentation", "attributes", "styles", "first_review", "second_review")
WHO = {
    "segmentation": "general",
    "attributes": "general",
    "styles": "expert",
    "first_review": "reviewer",
    "second_review": "inspector",
}
WAITING = 16
Said = dict[str, str]


@pytest.fixture(autouse=True)
def always_due(crew: GoldCrew, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever claims gets gold wherever a number was put aside for it; these are the same each time."""
    luck = random.Random(11)
    monkeypatch.setattr(intake, "DICE", luck.random)
    monkeypatch.setattr(service, "DICE", luck)
    monkeypatch.setattr(dealing, "PATIENCE", -1)
    dealer = dealing.Dealer(crew.rt.policy, Shelf(), dice=lambda: 0.0)
    monkeypatch.setattr(shadows, "STAND_INS", [dealer.stand_in])


@pytest.mark.parametrize("stage", STAGES)
@ON_SQLITE
def test_every_request_about_gold_is_answered_as_about_work(
    crew: GoldCrew, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gold, work = both(crew, stage, monkeypatch, answered_well)
    assert gold == work


@pytest.mark.parametrize("stage", ["attributes", "styles"])
@ON_SQLITE
def test_what_is_sent_back_is_told_alike(crew: GoldCrew, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gold, work = both(crew, stage, monkeypatch, sent_back)
    assert gold == work


@pytest.mark.parametrize("stage", ["segmentation", "attributes", "styles"])
@ON_SQLITE
def test_what_is_unusable_is_told_alike(crew: GoldCrew, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gold, work = both(crew, stage, monkeypatch, found_unusable)
    assert gold == work


@ON_SQLITE
def test_gold_shows_its_picture_as_it_was_covered_since(crew: GoldCrew) -> None:
    known = accepted(crew, 1)
    covered = b"c" * 32
    with crew.rt.db.begin() as conn:
        conn.execute(sa.update(Image).where(Image.id == known[0]).values(picture=covered))
    for _ in range(WAITING):
        crew.image()
    crew.gold(known, "segmentation")
    _, task = with_gold(crew, "segmentation")
    shown = crew.rows("SELECT picture FROM images WHERE id = :image", image=task["image"]["id"])
    assert bytes(shown[0][0]) == covered
    assert task["image"]["url"].endswith(f"?v={covered.hex()[:16]}")


@ON_SQLITE
def test_the_same_eyes_see_what_differs(crew: GoldCrew, monkeypatch: pytest.MonkeyPatch) -> None:
    gold, work = both(crew, "styles", monkeypatch, answered_well)
    person = crew.hire("expert")
    task = person.claim("styles")
    crew.admin.post(f"/tasks/{task['id']}/comments", {"text": "look at the collar"})
    other = dict(everything(crew, person, task, answered_well))
    assert gold == work
    assert {name for name in work if work[name] != other[name]} == {
        "comments",
        "/tasks/{T}/comments while held",
        "/tasks/{T}/comments after it",
        "/images/{I}/comments while held",
        "/images/{I}/comments after it",
        "/me/comments while held",
        "/me/comments after it",
    }


def both(
    crew: GoldCrew,
    stage: str,
    monkeypatch: pytest.MonkeyPatch,
    finish: Callable[[Person, Json], Answer],
) -> tuple[Said, Said]:
    """All that was said about a task of gold, and about one of work."""
    known = crew.sources(2)
    for _ in range(WAITING):
        crew.image_at(stage)
    crew.gold(known, stage)
    lucky, gold = with_gold(crew, stage)
    # From now on nobody gets gold but who has some.
    monkeypatch.setattr(shadows, "STAND_INS", [])
    crew.clock.forward(minutes=1)
    about_gold = dict(everything(crew, lucky, gold, finish))
    person = crew.hire(WHO[stage])
    work = person.claim(stage)
    assert {gold["id"], work["id"]} - crew.seats() == {work["id"]}
    return about_gold, dict(everything(crew, person, work, finish))


def with_gold(crew: GoldCrew, stage: str) -> tuple[Person, Json]:
    """Somebody new whose first task is gold; those before them keep theirs."""
    for _ in range(WAITING - 2):
        person = crew.hire(WHO[stage])
        task = person.claim(stage)
        if task["id"] in crew.seats(person):
            return person, task
    raise AssertionError("there was none")


def answered_well(person: Person, task: Json) -> Answer:
    return person.submit(task, good_result(task), seconds=4)


def sent_back(person: Person, task: Json) -> Answer:
    return person.send_back(task)


def found_unusable(person: Person, task: Json) -> Answer:
    return person.submit(task, {"unusable": "watermark"}, seconds=4)


def everything(
    crew: GoldCrew, person: Person, task: Json, finish: Callable[[Person, Json], Answer]
) -> Iterator[tuple[str, str]]:
    """Name and outcome of each request that somebody may think of, in their order."""
    other = crew.hire("inspector")
    yield from about(person, other, task, "while held")
    yield "draft", told(put(person, task, {"regions": []}), task)
    yield "the task with a draft", told(person.get(f"/tasks/{task['id']}"), task)
    yield "no draft", told(delete(person, task), task)
    for name, wrong in WRONG.items():
        yield f"submit {name}", told(person.submit(task, wrong), task)
    yield "another token", told(person.submit(without_token(task), good_result(task)), task)
    yield "send back nonsense", told(person.send_back(task, "nowhere"), task)
    yield "heartbeat", told(person.heartbeat(task), task)
    rectangle = {"regions": [[10, 10, 1, 1]], "how": "mosaic", "token": token_of(task)}
    yield "cover", told(person.post(f"/tasks/{task['id']}/cover", rectangle), task)
    yield "comment", told(person.post(f"/tasks/{task['id']}/comments", {"text": "a collar"}), task)
    yield "comments", told(person.get(f"/tasks/{task['id']}/comments"), task)
    said = {"stage": task["stage"], "text": "a hem"}
    yield "comment on the image", told(person.post(f"/images/{task['image']['id']}/comments", said), task)
    yield "release", told(person.release(task), task)
    again = person.claim(task["stage"])
    assert again["id"] == task["id"]
    yield "claimed again", shape(without_ids(again, task))
    yield "finish", told(finish(person, again), task)
    yield "once more", told(finish(person, again), task)
    yield from about(person, other, again, "after it")
    yield "late draft", told(put(person, again, {"regions": []}), task)
    yield "late heartbeat", told(person.heartbeat(again), task)
    yield "late release", told(person.release(again), task)
    yield "late cover", told(person.post(f"/tasks/{task['id']}/cover", rectangle), task)
    answers = person.read("/me/answers")["items"]
    yield "own answer", shape([without_ids(each, task) for each in answers if each["task_id"] == task["id"]])
    appeal = {"task_id": task["id"], "reason": "it was right"}
    yield "appeal", told(person.post("/me/appeals", appeal), task)


def about(person: Person, other: Person, task: Json, when: str) -> Iterator[tuple[str, str]]:
    """What can be read about a task by whoever has it, and by somebody who has not."""
    places = {"T": task["id"], "I": task["image"]["id"], "W": person.id, "S": task["stage"]}
    for path in OWN:
        yield f"{path} {when}", told(person.get(path.format(**places)), task)
    for path in OTHERS:
        yield f"{path} of another {when}", told(other.get(path.format(**places)), task)
    yield f"submit by another {when}", told(other.submit(task, good_result(task)), task)


OWN = (
    "/tasks/{T}",
    "/tasks/{T}/comments",
    "/images/{I}",
    "/images/{I}/comments",
    "/images/{I}/file",
    "/images/{I}/thumbnail",
    "/images/{I}/original",
    "/gold/{T}",
    "/courses/{S}",
    "/courses/{S}/practice/{T}",
    "/me",
    "/me/answers",
    "/me/feedback",
    "/me/comments",
    "/me/appeals",
    "/me/appeals/possible",
    "/me/outlook",
    "/notices",
    "/exams",
    "/workers/{W}/quality",
    "/workers/{W}/evidence",
    "/workers/{W}/grades",
)
OTHERS = ("/tasks/{T}", "/tasks/{T}/comments", "/images/{I}", "/images/{I}/comments", "/images/{I}/file")
WRONG: Mapping[str, Any] = {
    "nothing": {},
    "a list": [],
    "other labels": {"styles": ["no such style"], "regions": "none", "score": 9},
    "another unusable": {"unusable": "no such code"},
}


def told(answer: Answer, task: Json) -> str:
    """Status, names of headers, and the shape of the document."""
    names = sorted(set(answer.headers.keys()) - {"Date"})
    body = without_ids(answer.json, task) if answer.status_code != 204 else ""
    return f"{answer.status_code} {names} {shape(body)}"


def without_ids(document: Any, task: Json) -> Any:
    """The document without what is another number or name each time."""
    if isinstance(document, dict):
        return {key: without_ids(value, task) for key, value in document.items() if key not in NAMES}
    if isinstance(document, list):
        return [without_ids(each, task) for each in document]
    return document


NAMES = {"username", "who", "request_id"}


def without_token(task: Json) -> Json:
    return {**task, "lease": {"token": 10**6}}


def put(person: Person, task: Json, body: Json) -> Answer:
    path = f"{API}/tasks/{task['id']}/draft"
    return person.client.put(path, json={"token": token_of(task), "body": body}, headers=person._headers)


def delete(person: Person, task: Json) -> Answer:
    return person.client.delete(f"{API}/tasks/{task['id']}/draft", headers=person._headers)
