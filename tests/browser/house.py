"""A whole Crowd behind a real port, with people and drawn photographs in any stage: for browsers to visit.

`python -m tests.browser.house` keeps one open for the screenshots and the benchmark, and prints as JSON
where it is and who may log in.
"""

import argparse
import contextlib
import json
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy.engine import Connection
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from crowd.accounts import service as accounts
from crowd.accounts.models import AccountKind
from crowd.app import create_app
from crowd.core import clock
from crowd.core.config import Settings
from crowd.core.db import AnyRow
from crowd.core.migrate import upgrade
from crowd.images import deliveries, delivery_queries
from crowd.images import queries as images
from crowd.images import service as intake
from crowd.images.deliveries import NewDelivery
from crowd.images.models import Rights, Supplier
from crowd.images.service import Delivery
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime, build_runtime
from crowd.simulation.drawing import Drawn, draw
from crowd.simulation.looks import as_jpeg
from crowd.tasks import handover
from crowd.tiers import evidence
from crowd.tiers import service as tiers
from crowd.tiers.score import Evidence, Kind
from tests.kinds import client_of
from tests.scenarios.people import Person
from tests.servers import spare_the_disk

Json = dict[str, Any]
StartResponse = Callable[..., Any]

PASSWORD = "a good long password"
# How often the likeliest value is right: what the attributes' net reached on drawn garments (docs/training).
TOP_1 = 0.858
# Of wrong and of right candidates so many are shown with a low score.
UNSURE_WHEN_WRONG, UNSURE_WHEN_RIGHT = 0.8, 0.15
# Of wrong ones so many have the truth in second and in third place; else it is no candidate.
TRUTH_AT = (0.7, 0.2)
# Of the photographs that furnish the house as examples: they are no gold.
EXAMPLE_SEEDS = (951, 952)
ORDER = (Stage.SEGMENTATION, Stage.ATTRIBUTES, Stage.STYLES, Stage.FIRST_REVIEW, Stage.SECOND_REVIEW)
WHO: dict[Stage, tuple[str, ...]] = {
    Stage.SEGMENTATION: ("general",),
    Stage.ATTRIBUTES: ("general",),
    Stage.STYLES: ("expert",),
    Stage.FIRST_REVIEW: ("reviewer",),
    Stage.SECOND_REVIEW: ("inspector", "inspector"),
}


class _Handler(WSGIRequestHandler):
    """Keeps connections open, as a real server does, and says nothing."""

    protocol_version = "HTTP/1.1"

    def log(self, kind: str, message: str, *args: Any) -> None:
        """Nothing."""


@dataclass
class Lag:
    """Adds a time to every answer of the API and to every file."""

    app: Callable[[Json, StartResponse], Any]
    seconds: float = 0.0

    def __call__(self, environ: Json, start_response: StartResponse) -> Any:
        """Answer, later."""
        time.sleep(self.seconds)
        return self.app(environ, start_response)


@cache
def drawn(seed: int) -> Drawn:
    """A drawn photograph; drawing takes a while, so each once."""
    return draw(seed)


@cache
def photograph(seed: int) -> bytes:
    """The same as a JPEG file."""
    return as_jpeg(drawn(seed).image)


@dataclass
class House:
    """The system, its people, and what lies in it."""

    rt: Runtime
    app: Flask
    lag: Lag
    url: str
    people: dict[str, Person] = field(default_factory=dict)
    seeds: dict[int, int] = field(default_factory=dict)
    # Whether tasks come with candidates: what a good model would say.
    proposing: bool = False
    # Whether candidates of attributes err as the trained net did.
    erring: bool = False

    def person(self, grade: str, name: str | None = None) -> Person:
        """Somebody of a grade, who can log in with PASSWORD."""
        name = name or f"{grade}-{len(self.people) + 1}"
        if name not in self.people:
            password = accounts.choose_password(PASSWORD)
            with self.rt.db.begin() as conn:
                joined = tiers.join(conn, name, Grade(grade), by=None, password=password)
                _, token = accounts.issue_token(conn, joined.id)
            self.people[name] = Person(client_of(self.app), joined.id, name, token)
        return self.people[name]

    def handler(self, kind: AccountKind, name: str, supplier: str | None = None) -> None:
        """Somebody of a supplier or of the refining team, who can log in with PASSWORD."""
        with self.rt.db.begin() as conn:
            password = accounts.choose_password(PASSWORD)
            joined = tiers.join(conn, name, Grade.TRAINEE, by=None, password=password, kind=kind)
            if supplier:
                of = images.named(conn, Supplier, supplier, clock.now())
                delivery_queries.tie_person(conn, joined.id, of)

    def delivery(self, name: str, supplier: str, rights: Rights, *seeds: int) -> int:
        """A delivery of photographs that its supplier has just sent."""
        with self.rt.db.begin() as conn:
            begun = deliveries.open_delivery(conn, NewDelivery(supplier, name, rights), None, clock.now())
        for seed in seeds:
            arrival = Delivery(supplier, f"look-{seed}.jpg", rights, delivery_id=begun.id, waiting=True)
            intake.take_upload(self.rt, photograph(seed), arrival, None)
        return int(begun.id)

    def image(self, until: Stage | None = Stage.SEGMENTATION, *, seed: int | None = None) -> int:
        """A photograph that waits in stage `until` (None: accepted), brought there by its people."""
        seed = len(self.seeds) + 1 if seed is None else seed
        delivery = Delivery("Studio", f"look-{seed}.jpg", Rights.OWNED, None)
        taken = intake.take_upload(self.rt, photograph(seed), delivery, None)
        self.seeds[taken.image_id] = seed
        for stage in ORDER:
            if stage is until:
                break
            for seat, grade in enumerate(WHO[stage]):
                self.bot(grade, f"the-{stage}-{seat + 1}").do(stage, self.right_answer(stage, seed))
        return taken.image_id

    def gold(self, stage: Stage, *image_ids: int, **more: Any) -> None:
        """These accepted images as gold at a stage: for courses and exams."""
        for image_id in image_ids:
            body = {"image_id": image_id, "stages": [stage.value], "reason": "known", **more}
            answer = self.bot("admin", "the-admin").post("/gold", body)
            assert answer.status_code == 201, answer.text

    def example(self, image_id: int, value: str, **more: Any) -> int:
        """An accepted image as an example of a style."""
        body = {
            "facet": "styles",
            "value": value,
            "image_id": image_id,
            "caption_en": "Light and loose, for warm days.",
            "caption_ko": "가볍고 넉넉하게, 따뜻한 날에.",
            "reason": "typical",
            **more,
        }
        answer = self.bot("admin", "the-admin").post("/examples", body)
        assert answer.status_code == 201, answer.text
        return int(answer.json["id"])

    def judged(self, person: Person, stage: Stage, *values: float) -> None:
        """Yesterday somebody's answers were found to be worth so much (0 to 1)."""
        yesterday = clock.now() - timedelta(days=1)
        found = [
            Evidence(
                worker_id=person.id,
                stage=stage,
                kind=Kind.REVIEW if place % 3 else Kind.PRE_CHECK,
                value=value,
                weight=1.0,
                task_id=place,
                at=yesterday + timedelta(seconds=place),
                score=5 if place % 3 else None,
            )
            for place, value in enumerate(values, start=1)
        ]
        with self.rt.db.begin() as conn:
            evidence.record(conn, self.rt.policy, found)

    def bot(self, grade: str, name: str) -> Person:
        """Somebody who only works over the API."""
        if name not in self.people:
            with self.rt.db.begin() as conn:
                joined = tiers.join(conn, name, Grade(grade), by=None)
                _, token = accounts.issue_token(conn, joined.id)
            self.people[name] = Person(client_of(self.app), joined.id, name, token)
        return self.people[name]

    def right_answer(self, stage: Stage, seed: int) -> Json:
        """What an honest person answers about a photograph."""
        if stage in (Stage.SEGMENTATION, Stage.ATTRIBUTES, Stage.STYLES):
            return drawn(seed).truth[stage.value]
        return {"score": 5, "blame": None, "reasons": [], "comment": ""}

    def seen(self, image_id: int) -> Json:
        """The image as an admin sees it."""
        return self.bot("admin", "the-admin").image(image_id)

    def propose(self, conn: Connection, task: AnyRow, labels: Mapping[Stage, Any]) -> Json | None:
        """Candidates as a good model makes them: right, but never quite sure."""
        if not self.proposing or task.round > 1 or task.image_id not in self.seeds:
            return None
        truth = drawn(self.seeds[task.image_id]).truth
        if task.stage is Stage.SEGMENTATION:
            regions = truth["segmentation"]["regions"]
            return {"model": "finder@3", "regions": [{**each, "score": 0.93} for each in regions]}
        if task.stage is Stage.ATTRIBUTES:
            if self.erring:
                return {"model": "tagger@1", "regions": self.proposed_attributes(self.seeds[task.image_id])}
            found = {
                name: {key: self._ranked(key, value) for key, value in values.items() if value}
                for name, values in truth["attributes"]["regions"].items()
            }
            return {"model": "tagger@1", "regions": found}
        if task.stage is Stage.STYLES:
            chosen = truth["styles"]["styles"]
            others = [style.key for style in self.rt.taxonomy.styles if style.key not in chosen][:3]
            return {"model": "ml-gcn@2", "styles": _falling([*chosen, *others])}
        return None

    def proposed_attributes(self, seed: int) -> Json:
        """Candidates by garment and attribute that err as the trained net did, the same ones each time."""
        truth = drawn(seed).truth
        parts = {region["id"]: region["part"] for region in truth["segmentation"]["regions"]}
        return {
            name: {
                attribute.key: _erring(
                    random.Random(f"{seed}/{name}/{attribute.key}"),
                    [value.key for value in attribute.offered_for(parts[name])],
                    values[attribute.key],
                    attribute.multiple,
                )
                for attribute in self.rt.taxonomy.attributes_for(parts[name])
                # The net learnt nothing of what drawn garments never tell.
                if attribute.key in values
            }
            for name, values in truth["attributes"]["regions"].items()
        }

    def _ranked(self, key: str, value: Any) -> list[Json]:
        attribute = self.rt.taxonomy.attribute(key)
        assert attribute is not None
        right = value if isinstance(value, list) else [value]
        others = [each.key for each in attribute.values if each.key not in right][:2]
        return _falling([*right, *(others if not attribute.multiple else [])])


def main_style(seed: int) -> str:
    """The style that a drawn photograph shows first."""
    styles: list[str] = drawn(seed).truth["styles"]["styles"]
    return styles[0]


def _falling(values: list[str]) -> list[Json]:
    return [
        {"value": value, "score": round(0.86 * 0.62**place, 2) if place else 0.86}
        for place, value in enumerate(values)
    ]


def _erring(chance: random.Random, offered: Sequence[str], truth: Any, multiple: bool) -> list[Json]:
    """Candidates whose first may be wrong. Where there is no value a net names some all the same."""
    right = truth if isinstance(truth, list) else [truth] if truth else []
    others = [key for key in offered if key not in right]
    chance.shuffle(others)
    wrong = bool(others) and (chance.random() >= TOP_1 if right or multiple else True)
    unsure = chance.random() < (UNSURE_WHEN_WRONG if wrong else UNSURE_WHEN_RIGHT)
    if multiple:
        return _several(chance, right, others, wrong, unsure)
    first = round(chance.uniform(0.3, 0.59) if unsure else chance.uniform(0.6, 0.97), 2)
    values = others[:5] if wrong else [*right, *others[:4]]
    place = chance.random()
    if wrong and right and place < sum(TRUTH_AT):
        values.insert(1 if place < TRUTH_AT[0] else 2, right[0])
    rest = min(0.9 * first, 0.6 * (1 - first))
    scores = [first, *(round(rest * 0.5**step, 2) for step in range(4))]
    return [{"value": value, "score": score} for value, score in zip(values, scores, strict=False)]


def _several(
    chance: random.Random, right: list[str], others: list[str], wrong: bool, unsure: bool
) -> list[Json]:
    """Each with a score of its own. Wrong: another comes first, one that is right seems unlikely."""
    scores = {value: chance.uniform(0.61, 0.97) for value in right}
    scores |= {value: chance.uniform(0.02, 0.35) for value in others[1:4]}
    if wrong:
        scores |= {value: chance.uniform(0.2, 0.38) for value in right[:1]}
        scores[others[0]] = chance.uniform(0.5, 0.59) if unsure else chance.uniform(0.61, 0.9)
    elif unsure:
        scores |= {value: chance.uniform(0.5, 0.59) for value in right[:1]}
        scores |= {} if right else {value: chance.uniform(0.41, 0.49) for value in others[:1]}
    ranked = sorted(scores, key=lambda value: -scores[value])[:5]
    return [{"value": value, "score": round(scores[value], 2)} for value in ranked]


@contextlib.contextmanager
def open_house(
    folder: Path,
    *,
    template: Path | None = None,
    redis_url: str | None = None,
    lease_seconds: int | None = None,
    port: int = 0,
    exam_items: int = 1,
    exam_practice: int = 0,
) -> Iterator[House]:
    """A house on SQLite in `folder`, served by threads of this process for the time of the block.

    Gold is there for courses alone. An exam has `exam_items` questions, and asks for `exam_practice` practice
    answers before it: an accepted image takes a while.
    """
    policy = folder / "policy.yaml"
    items = f"exam_items: {exam_items}, second_exam_items: {exam_items}"
    exam = f"{{{items}, exam_practice: {exam_practice}}}"
    policy.write_text(f"gold: {exam}\n", encoding="utf-8")
    path = folder / "crowd.sqlite"
    if template is None:
        upgrade(f"sqlite:///{path}")
    else:
        path.write_bytes(template.read_bytes())
    settings = Settings(
        data_dir=folder,
        database_url=f"sqlite:///{path}",
        redis_url=redis_url,
        storage=str(folder / "storage"),
        secret_key="only for tests",
        lease_seconds=lease_seconds,
        requests_per_minute=1_000_000,
        policy_file=policy,
        gold_percent=0,
    )
    rt = build_runtime(settings)
    spare_the_disk(rt.db)
    app = create_app(rt=rt, environ={"CROWD_LOG_LEVEL": "error"})
    lag = Lag(app)
    server: BaseWSGIServer = make_server("127.0.0.1", port, lag, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    house = House(rt, app, lag, f"http://127.0.0.1:{server.server_port}")
    proposers = [*handover.PROPOSERS]
    handover.PROPOSERS[:] = [house.propose]
    try:
        yield house
    finally:
        handover.PROPOSERS[:] = proposers
        server.shutdown()
        thread.join()
        server.server_close()
        rt.db.close()


def furnish(house: House, count: int, stages: Sequence[Stage | None] = (None, *reversed(ORDER))) -> None:
    """People of every grade, and `count` photographs waiting in each of the stages (None: accepted)."""
    for grade in Grade:
        house.person(grade.value, grade.value)
    house.person("inspector", "inspector-2")
    # Nobody meets a known picture twice, so each lesson has a learner of its own.
    for number in range(2, 6):
        house.person("trainee", f"trainee-{number}")
    house.handler(AccountKind.SUPPLIER, "supplier", "Studio")
    house.handler(AccountKind.REFINER, "refiner")
    house.delivery("spring", "Studio", Rights.UNKNOWN, 901, 902)
    for seed in EXAMPLE_SEEDS if None in stages else ():
        house.example(house.image(None, seed=seed), main_style(seed))
    house.proposing = True
    for stage in stages:
        for _ in range(count):
            image_id = house.image(stage)
            if stage is None:
                for known in ORDER:
                    house.gold(known, image_id)
    house.judged(house.people["general"], Stage.SEGMENTATION, *[1.0] * 50, 0.0)
    house.judged(house.people["general"], Stage.ATTRIBUTES, *[1.0, 0.8] * 12)
    text = {"title": "Collars", "text": "Please read section 4 again.\n4장을 다시 읽어 주세요."}
    assert house.bot("admin", "the-admin").post("/notices", text).status_code == 201


def main() -> None:
    """Keep a furnished house open until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3, help="photographs in each stage")
    parser.add_argument("--lag", type=float, default=0.0, help="milliseconds added to each answer")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--only", default="", help="these stages, the furthest downstream first")
    parser.add_argument(
        "--err", action="store_true", help="candidates of attributes err as a trained net does"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, open_house(Path(folder), port=given.port) as house:
        stages = sorted(map(Stage, filter(None, given.only.split(","))), key=ORDER.index, reverse=True)
        house.erring = given.err
        furnish(house, given.images, *([stages] if stages else []))
        house.lag.seconds = given.lag / 1000
        tokens = {name: each.token for name, each in house.people.items() if not name.startswith("the-")}
        truths = {image_id: drawn(seed).truth for image_id, seed in house.seeds.items()}
        said = {"url": house.url, "password": PASSWORD, "tokens": tokens}
        told = {
            image_id: {
                "garments": [region["id"] for region in truth["segmentation"]["regions"]],
                "attributes": truth["attributes"]["regions"],
            }
            for image_id, truth in truths.items()
        }
        print(json.dumps({**said, "truths": told}), flush=True)
        with contextlib.suppress(KeyboardInterrupt, EOFError):
            input()


if __name__ == "__main__":
    main()
