"""The registry over HTTP and at the command line: versions, who serves, a step back, and what is refused."""

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from flask import Flask

from crowd.cli import main
from crowd.core import clock
from crowd.ml import service
from crowd.ml.card import Benchmark, CardError, parse_card
from crowd.ml.models import ModelEvent
from crowd.ml.rules import is_better
from crowd.policy import Grade, load_policy
from crowd.runtime import Runtime
from tests.kinds import Answer, Bearer, Client, MakeWorker
from tests.ml.shelf import (
    attributes_card,
    environment,
    segmentation_card,
    styles_card,
    with_policy,
    write_card,
)

API = "/api/v1"


@pytest.fixture
def admin(client: Client, make_worker: MakeWorker, bearer: Bearer) -> "Registry":
    _, token = make_worker(Grade.ADMIN, name="chief")
    return Registry(client, bearer(token))


class Registry:
    """An admin's view of it."""

    def __init__(self, client: Client, headers: dict[str, str]) -> None:
        self.client = client
        self.headers = headers

    def add(self, file: bytes, name: str = "small") -> Answer:
        form = {"name": name, "file": (io.BytesIO(file), "model.safetensors")}
        return self.client.post(f"{API}/models", data=form, headers=self.headers)

    def post(self, path: str, **body: Any) -> Answer:
        return self.client.post(f"{API}{path}", json=body, headers=self.headers)

    def get(self, path: str) -> Any:
        answer = self.client.get(f"{API}{path}", headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json

    def serving(self) -> dict[str, str]:
        return {each["stage"]: each["title"] for each in self.get("/models")["items"] if each["serving"]}


def model_file(folder: Path, card: dict[str, Any], seed: int = 0) -> bytes:
    return write_card(folder / "model.safetensors", card, seed).read_bytes()


def test_a_model_comes_in_is_promoted_and_rolled_back(admin: Registry, tmp_path: Path) -> None:
    first = admin.add(model_file(tmp_path, styles_card()))
    assert first.status_code == 201, first.text
    assert (first.json["title"], first.json["stage"], first.json["serving"]) == ("small@1", "styles", False)
    second = admin.add(model_file(tmp_path, styles_card(), seed=1))
    assert second.json["title"] == "small@2"
    assert admin.serving() == {}
    for model, title in ((first, "small@1"), (second, "small@2")):
        promoted = admin.post(f"/models/{model.json['id']}/promote", reason="it is better")
        assert promoted.status_code == 200, promoted.text
        assert promoted.json["model"]["title"] == title
        assert admin.serving() == {"styles": title}
    back = admin.post(f"/models/{second.json['id']}/rollback", reason="it is not")
    assert back.json["model"]["title"] == "small@1"
    assert admin.serving() == {"styles": "small@1"}
    again = admin.post(f"/models/{second.json['id']}/rollback")
    assert (again.status_code, again.json["code"]) == (409, "not_serving")
    none = admin.post(f"/models/{first.json['id']}/rollback")
    assert none.json == {"stage": "styles", "model": None}
    assert admin.serving() == {}
    events = admin.get("/models/events")["items"]
    assert [event["what"] for event in events] == [
        "rolled_back",
        "rolled_back",
        "promoted",
        "promoted",
        "added",
        "added",
    ]
    assert {event["who"] for event in events} == {"chief"}
    assert [event["why"] for event in events[1:4]] == ["it is not", "it is better", "it is better"]


def test_rollbacks_go_back_step_by_step_and_not_in_circles(admin: Registry, tmp_path: Path) -> None:
    ids = [admin.add(model_file(tmp_path, styles_card(), seed)).json["id"] for seed in range(3)]
    for model_id in ids:
        admin.post(f"/models/{model_id}/promote")
    served = []
    for model_id in reversed(ids):
        answer = admin.post(f"/models/{model_id}/rollback")
        served.append(answer.json["model"] and answer.json["model"]["id"])
    assert served == [ids[1], ids[0], None]


def test_a_model_that_was_promoted_twice_is_rolled_back_to_no_circle(admin: Registry, tmp_path: Path) -> None:
    one, two = (admin.add(model_file(tmp_path, styles_card(), seed)).json["id"] for seed in range(2))
    for model_id in (one, two, one):
        admin.post(f"/models/{model_id}/promote")
    served = []
    for model_id in (one, two, one):
        answer = admin.post(f"/models/{model_id}/rollback")
        assert answer.status_code == 200, answer.text
        served.append(answer.json["model"] and answer.json["model"]["id"])
    assert served == [two, one, None]
    admin.post(f"/models/{two}/promote")
    assert admin.post(f"/models/{two}/rollback").json["model"] is None


def test_promoting_what_serves_changes_nothing(admin: Registry, rt: Runtime, tmp_path: Path) -> None:
    model = admin.add(model_file(tmp_path, styles_card())).json["id"]
    for _ in range(3):
        assert admin.post(f"/models/{model}/promote").status_code == 200
    with rt.db.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(ModelEvent)).scalar_one() == 2


def test_stages_have_models_of_their_own(admin: Registry, tmp_path: Path) -> None:
    cards = {"finder": segmentation_card(), "tagger": attributes_card(), "stylist": styles_card()}
    for name, card in cards.items():
        model = admin.add(model_file(tmp_path, card), name).json
        admin.post(f"/models/{model['id']}/promote")
    assert admin.serving() == {
        "segmentation": "finder@1",
        "attributes": "tagger@1",
        "styles": "stylist@1",
    }
    assert [each["name"] for each in admin.get("/models?stage=styles")["items"]] == ["stylist"]


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (b"", "no safetensors"),
        (b"GIF89a and so on", "no safetensors"),
        (b"\xff" * 100, "no safetensors"),
        ((20).to_bytes(8, "little") + b'{"__metadata__":{}} ', "no 'crowd'"),
    ],
)
def test_what_is_no_model_is_refused(admin: Registry, file: bytes, told: str) -> None:
    answer = admin.add(file)
    assert (answer.status_code, answer.json["code"]) == (422, "no_model"), answer.text
    assert told in answer.json["errors"]["file"][0]


def file_of(card: str) -> bytes:
    """A file whose metadata has this text for a card."""
    return raw_file(json.dumps({"__metadata__": {"crowd": card}}).encode())


def raw_file(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header


DEEP = "[" * 100_000
INPUTS = styles_card()["inputs"]


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (raw_file(b'{"__metadata__":{"crowd":5}}'), "no JSON"),
        (raw_file(b'{"__metadata__":{"crowd":["{}"]}}'), "no JSON"),
        (raw_file(DEEP.encode()), "no safetensors"),
        (file_of(DEEP), "no JSON"),
        (file_of("1" * 5000), "no JSON"),
        (file_of(json.dumps(styles_card(inputs={**INPUTS, "margin": 10**400}))), "does not hold"),
        (file_of(json.dumps(styles_card(inputs={**INPUTS, "margin": -1}))), "margin"),
        (file_of(json.dumps(styles_card(inputs={**INPUTS, "margin": "much"}))), "does not hold"),
        (file_of(json.dumps(styles_card(inputs={**INPUTS, "size": [10**400, 32]}))), "does not hold"),
        (file_of(json.dumps(styles_card(inputs={**INPUTS, "mean": [math.nan, 0, 0]}))), "finite"),
        (file_of(json.dumps(styles_card(metrics={"map": math.nan}))), "metrics.map"),
        (file_of(json.dumps(styles_card(metrics={"map": 10**30}))), "metrics.map"),
        (file_of(json.dumps(styles_card(metrics={"note": "\ud800"}))), "metrics.note"),
        (file_of(json.dumps(styles_card(metrics={"\0": 1}))), "metrics"),
    ],
    ids=lambda given: given if isinstance(given, str) else "file",
)
def test_a_card_that_cannot_be_kept_is_refused_and_the_list_goes_on(
    admin: Registry, file: bytes, told: str
) -> None:
    answer = admin.add(file)
    assert (answer.status_code, answer.json["code"]) == (422, "no_model"), answer.text
    assert told in answer.json["errors"]["file"][0]
    assert admin.get("/models")["items"] == []


def test_the_same_file_is_not_registered_twice(admin: Registry, tmp_path: Path) -> None:
    file = model_file(tmp_path, styles_card())
    admin.add(file)
    again = admin.add(file, "other")
    assert (again.status_code, again.json["code"]) == (409, "known_model")
    assert "small@1" in again.json["detail"]


def test_a_name_stays_with_its_stage(admin: Registry, tmp_path: Path) -> None:
    admin.add(model_file(tmp_path, styles_card()))
    answer = admin.add(model_file(tmp_path, segmentation_card()))
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["name"])


@pytest.mark.parametrize("name", ["", "Large", "a b", "../x", "x" * 61, "@1"])
def test_a_name_that_cannot_be_kept_is_refused(admin: Registry, tmp_path: Path, name: str) -> None:
    answer = admin.add(model_file(tmp_path, styles_card()), name)
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["name"])


def test_a_model_of_another_vocabulary_is_refused(admin: Registry, tmp_path: Path) -> None:
    answer = admin.add(model_file(tmp_path, styles_card(classes=["cats", "dogs"])))
    assert answer.status_code == 422
    assert "knows none of its classes" in answer.json["errors"]["file"][0]


@pytest.mark.parametrize("path", ["/models", "/models/events", "/stats/candidates"])
def test_the_registry_is_for_admins(
    client: Client, make_worker: MakeWorker, bearer: Bearer, path: str
) -> None:
    _, token = make_worker(Grade.EXPERT)
    assert client.get(f"{API}{path}", headers=bearer(token)).status_code == 403
    assert client.get(f"{API}{path}").status_code == 401


def test_what_is_not_there_is_told(admin: Registry) -> None:
    for path in ("/models/77/promote", "/models/77/rollback"):
        assert admin.post(path).status_code == 404


def benchmark(score: float, on: str = "v1 test", measure: str = "map") -> Benchmark:
    return Benchmark(on, measure, score)


@pytest.mark.parametrize(
    ("new", "old", "better"),
    [
        (benchmark(0.82), benchmark(0.80), True),
        (benchmark(0.81), benchmark(0.80), True),
        (benchmark(0.8099), benchmark(0.80), False),
        (benchmark(0.70), benchmark(0.80), False),
        (benchmark(0.95), benchmark(0.80, on="v2 test"), False),
        (benchmark(0.95), benchmark(0.80, measure="f1"), False),
        (None, benchmark(0.80), False),
        (benchmark(0.95), None, False),
    ],
)
def test_the_rule_compares_on_one_set_by_one_measure(
    new: Benchmark | None, old: Benchmark | None, better: bool
) -> None:
    policy = load_policy()
    assert not is_better(new, old, policy), "unless the policy says so, people promote"
    ruled = with_rule()
    assert is_better(new, old, ruled) == better


def with_rule() -> Any:
    return replace(load_policy(), promote_by_rule=True)


def test_by_the_rule_a_better_model_serves_at_once(rt: Runtime, tmp_path: Path) -> None:
    ruled = with_policy(rt, promote_by_rule=True)
    serving = []
    for seed, score in enumerate((0.80, 0.805, 0.83)):
        card = styles_card(benchmark={"set": "v1 test", "measure": "map", "score": score})
        path = write_card(tmp_path / f"{seed}.safetensors", card, seed)
        with path.open("rb") as file:
            kept = service.keep_file(rt.storage, file)
        added = service.add(ruled, kept, "small", by=None, now=clock.now())
        if seed == 0:
            assert not added.serving, "the first one is for people to choose"
            with rt.db.begin() as conn:
                service.promote(conn, added.id, by=None, why="", now=clock.now())
        serving.append(added.serving)
    assert serving == [False, False, True]
    with rt.db.read() as conn:
        why = conn.execute(sa.select(ModelEvent.why).order_by(ModelEvent.id.desc()).limit(1)).scalar_one()
    assert why == "by the policy's rule: map on v1 test: 0.8300 over 0.8000"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"stage": "first_review"}, "no candidates"),
        ({"stage": "beauty"}, "does not hold"),
        ({"classes": []}, "classes"),
        ({"classes": ["resort", "resort"]}, "classes"),
        ({"classes": {"color": ["red"]}}, "list of names"),
        ({"inputs": {"size": [32], "mean": [0, 0, 0], "std": [1, 1, 1]}}, "2 numbers"),
        ({"inputs": {"size": [32, 32], "mean": [0, 0, 0], "std": [1, 1, 0]}}, "std"),
        ({"inputs": {"mean": [0, 0, 0], "std": [1, 1, 1]}}, "lacks size"),
        ({"benchmark": {"set": "x", "measure": "map", "score": 91}}, "score"),
        ({"net": 5}, "text"),
    ],
)
def test_a_card_that_cannot_be_true_is_told(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(CardError, match=told):
        parse_card(styles_card(**changes))


def test_a_class_unknown_here_does_not_keep_the_others_out(admin: Registry, tmp_path: Path) -> None:
    answer = admin.add(model_file(tmp_path, styles_card(classes=["resort", "of the moon"])))
    assert answer.status_code == 201


def test_models_at_the_command_line(rt: Runtime, tmp_path: Path) -> None:
    first = write_card(tmp_path / "one.safetensors", styles_card(metrics={"map": 0.5}))
    second = write_card(tmp_path / "two.safetensors", styles_card(), seed=1)

    def crowd(*words: str) -> Result:
        return CliRunner().invoke(main, ["model", *words], env=environment(rt))

    assert crowd("add", str(first), "--promote").stdout == "baseline@1 of styles serves\n"
    assert crowd("add", str(second), "--name", "baseline").stdout == "baseline@2 of styles\n"
    assert crowd("promote", "baseline@2", "--reason", "new").stdout == "baseline@2 serves styles\n"
    listed = crowd("list").stdout.splitlines()
    assert ["serves" in line for line in listed] == [False, True]
    assert "map 0.500" in listed[0]
    assert crowd("rollback", "baseline@2").stdout == "baseline@1 serves styles\n"
    for words in (("promote", "nobody@1"), ("promote", "x"), ("rollback", "baseline@2")):
        refused = crowd(*words)
        assert refused.exit_code == 2
        assert refused.stderr
        assert "Traceback" not in refused.stderr
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing")
    refused = crowd("add", str(broken))
    assert (refused.exit_code, "no safetensors" in refused.stderr) == (2, True)


def test_the_description_has_the_shapes_of_candidates(app: Flask, client: Client) -> None:
    spec = json.loads(client.get(f"{API}/openapi.json").data)
    shapes = spec["components"]["schemas"]["Task"]["properties"]["candidates"]["oneOf"]
    named = [shape["$ref"].rpartition("/")[2] for shape in shapes if "$ref" in shape]
    assert named == ["SegmentationCandidates", "AttributesCandidates", "StylesCandidates"]
    assert all(name in spec["components"]["schemas"] for name in named)
