"""A face that was missed so far is covered by whoever reviews: for all, and without touching an answer."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from crowd.images import pictures
from crowd.images.files import files_of
from crowd.images.models import Image, ImageEvent, What
from crowd.policy import Stage
from crowd.tasks import shadow_queries
from crowd.tasks.models import Purpose
from crowd.tasks.retouching import service
from crowd.tasks.retouching.service import How, Marked
from crowd.tasks.taxonomies import shelf
from tests.kinds import Answer
from tests.pictures import jpeg
from tests.scenarios.people import (
    HEIGHT,
    WIDTH,
    Crew,
    Json,
    Person,
    good,
    refused,
    regions,
    token_of,
    verdict,
)

FACE = [100, 40, 80, 100]


class CoveringCrew(Crew):
    """A crew whose images have files."""

    def with_file(self, image_id: int) -> int:
        key = files_of(self.row(image_id).sha256).working
        self.rt.storage.put(key, jpeg(image_id, (WIDTH, HEIGHT)))
        return image_id

    def row(self, image_id: int) -> Any:
        with self.rt.db.read() as conn:
            return conn.execute(sa.select(Image).where(Image.id == image_id)).one()

    def covered(self, image_id: int) -> list[Any]:
        found = sa.select(ImageEvent).where(ImageEvent.image_id == image_id, ImageEvent.what == What.COVERED)
        with self.rt.db.read() as conn:
            return list(conn.execute(found))


def cover(person: Person, task: Json, *regions_: list[int], how: str = "mosaic") -> Answer:
    body = {"token": token_of(task), "regions": list(regions_ or (FACE,)), "how": how}
    return person.post(f"/tasks/{task['id']}/cover", body)


@pytest.fixture
def crew(crew: Crew) -> CoveringCrew:
    return CoveringCrew(crew.rt, crew.app, crew.clock)


def test_a_first_reviewer_covers_and_judges_the_same_outlines(crew: CoveringCrew) -> None:
    image_id = crew.with_file(crew.image_at("first_review"))
    task = crew.checker.claim("first_review")
    answer = cover(crew.checker, task)
    assert answer.status_code == 200, answer.text
    assert answer.json["shift"] == [0, 0]
    shown = answer.json["image"]
    assert (shown["width"], shown["height"]) == (WIDTH, HEIGHT)
    assert shown["url"] != task["image"]["url"]
    again = crew.checker.read(f"/tasks/{task['id']}")
    assert again["image"]["url"] == shown["url"]
    assert again["labels"] == task["labels"]
    good(crew.checker.submit(task, verdict(5)))
    (event,) = crew.covered(image_id)
    assert (event.stage, event.task_id, event.worker_id) == (
        Stage.FIRST_REVIEW,
        task["id"],
        crew.checker.id,
    )
    assert event.why["regions"] == [FACE]
    assert crew.row(image_id).round == 1


def test_the_other_seat_sees_the_picture_and_neither_who_covered_it_nor_a_verdict(crew: CoveringCrew) -> None:
    image_id = crew.with_file(crew.image_at("second_review"))
    left, right = crew.left.claim("second_review"), crew.right.claim("second_review")
    url = cover(crew.left, left).json["image"]["url"]
    assert crew.right.read(f"/tasks/{right['id']}")["image"]["url"] == url
    history = crew.right.image(image_id)["history"]
    assert What.COVERED not in [event["what"] for event in history]
    assert What.COVERED in [event["what"] for event in crew.left.image(image_id)["history"]]
    good(crew.right.submit(right, verdict(5)))
    good(crew.left.submit(left, verdict(5)))
    assert crew.state(image_id) == "accepted"


def test_a_verdict_that_was_given_before_still_counts(crew: CoveringCrew) -> None:
    image_id = crew.with_file(crew.image_at("second_review"))
    crew.right.do("second_review", verdict(5))
    left = crew.left.claim("second_review")
    assert cover(crew.left, left).status_code == 200
    good(crew.left.submit(left, verdict(4)))
    assert crew.state(image_id) == "accepted"
    assert crew.open_stages(image_id) == []


def test_of_two_seats_that_cover_at_once_the_second_looks_again(
    crew: CoveringCrew, monkeypatch: pytest.MonkeyPatch
) -> None:
    crew.with_file(crew.image_at("second_review"))
    left, right = crew.left.claim("second_review"), crew.right.claim("second_review")
    make = pictures.covered

    def overtaken(rt: Any, of: int, marked: Any) -> Any:
        new = make(rt, of, marked)
        monkeypatch.setattr(pictures, "covered", make)
        other = Marked([[300, 40, 60, 60]], How.MOSAIC)
        service.cover_at_hand(crew.rt, crew.right.id, right["id"], token_of(right), other)
        return new

    monkeypatch.setattr(pictures, "covered", overtaken)
    refused(cover(crew.left, left), 409, "changed")
    assert cover(crew.left, left).status_code == 200


def test_an_adjudicator_covers_too(crew: CoveringCrew) -> None:
    image_id = crew.with_file(crew.split_image())
    task = crew.judge.claim("adjudication")
    assert cover(crew.judge, task).status_code == 200
    good(crew.judge.submit(task, verdict(5)))
    assert (crew.state(image_id), len(crew.covered(image_id))) == ("accepted", 1)


def test_reviewers_do_not_cut_and_nobody_covers_what_they_do_not_hold(crew: CoveringCrew) -> None:
    crew.with_file(crew.image_at("first_review"))
    task = crew.checker.claim("first_review")
    refused(cover(crew.checker, task, how="crop"), 409, "not_segmentation")
    refused(cover(crew.hire("reviewer"), task), 403)
    good(crew.checker.submit(task, verdict(5)))
    refused(cover(crew.checker, task), 409, "lease_lost")


def test_labellers_of_later_stages_do_not_cover(crew: CoveringCrew) -> None:
    crew.with_file(crew.image_at("styles"))
    refused(cover(crew.stylist, crew.stylist.claim("styles")), 409, "not_segmentation")


def seat(crew: CoveringCrew, person: Person, source_id: int, stage: Stage, labels: Json) -> Json:
    """A seat for evidence before this person, as they get it."""
    now = crew.clock.now()
    with crew.rt.db.begin() as conn:
        task = shadow_queries.seat_beside(
            conn,
            Purpose.GOLD,
            stage,
            source_id,
            {Stage(name): value for name, value in labels.items()},
            person.id,
            shelf(crew.rt).present_id(),
            now,
            now + timedelta(minutes=30),
        )
    return {"id": task.id, "image": {"id": task.image_id}, "lease": {"token": task.token}}


def test_a_face_found_in_a_seat_for_evidence_is_gone_from_the_image_that_is_delivered(
    crew: CoveringCrew,
) -> None:
    source = crew.with_file(crew.accepted_image())
    sitter = crew.hire("reviewer")
    task = seat(crew, sitter, source, Stage.FIRST_REVIEW, {"segmentation": regions("top")})
    number = task["image"]["id"]
    url = cover(sitter, task).json["image"]["url"]
    assert url.startswith(f"/api/v1/images/{number}/file?v=")
    assert sitter.read(f"/tasks/{task['id']}")["image"]["url"] == url, "like any other, also after a reload"
    assert crew.row(source).picture == crew.row(number).picture is not None
    assert [event["what"] for event in sitter.image(number)["history"]] == ["covered"]
    assert crew.covered(source)[0].why["regions"] == [FACE]
    refused(sitter.get(f"/images/{source}"), 403)


def test_what_was_cut_from_the_seat_alone_is_reckoned_in(crew: CoveringCrew) -> None:
    source = crew.with_file(crew.accepted_image())
    sitter = crew.hire("general")
    task = seat(crew, sitter, source, Stage.SEGMENTATION, {})
    assert cover(sitter, task, [0, 0, WIDTH, 100], how="crop").json["shift"] == [0, -100]
    assert crew.row(source).picture is None, "outlines of the image itself lie where they lay"
    assert cover(sitter, task, [50, 20, 60, 60]).status_code == 200
    assert crew.covered(source)[0].why["regions"] == [[50, 120, 60, 60]]
    assert crew.row(source).height == HEIGHT
    assert crew.row(task["image"]["id"]).height == HEIGHT - 100
