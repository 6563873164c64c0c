"""The images behind a figure: those that were counted, and no others."""

from typing import Any

import pytest

from crowd.policy import Grade, Stage
from crowd.steering.behind import queries
from tests.steering.conftest import Steered
from tests.tasks.engine import Lease, later


def _behind(steered: Steered, **query: Any) -> list[int]:
    """The images of every page."""
    found: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        answer = steered.get("images", **query, **cursor)
        assert answer.status_code == 200, answer.text
        found += [each["image_id"] for each in answer.json["items"]]
        if answer.json["next_cursor"] is None:
            return found
        cursor = {"cursor": answer.json["next_cursor"]}


def test_the_oldest_waiting_image_comes_first(steered: Steered) -> None:
    engine = steered.engine
    images = []
    for _ in range(3):
        images.append(engine.add_image())
        later(engine, 60)
    taken = engine.claim(engine.crew[Grade.GENERAL][0], Stage.SEGMENTATION)
    assert isinstance(taken, Lease)
    engine.release(taken)
    assert _behind(steered, figure="ready", stage="segmentation", limit=2) == images
    taken = engine.claim(engine.crew[Grade.GENERAL][1], Stage.SEGMENTATION)
    assert isinstance(taken, Lease)
    waiting = [image for image in images if image != taken.image_id]
    assert _behind(steered, figure="ready", stage="segmentation", limit=1) == waiting
    assert _behind(steered, figure="leased", stage="segmentation") == [taken.image_id]
    assert _behind(steered, figure="stuck", stage="segmentation") == []


def test_bounces_are_found_by_stage_and_reason(lived: Steered) -> None:
    assert _behind(lived, figure="bounced", stage="attributes", code="missing") == [1]
    assert _behind(lived, figure="bounced", stage="attributes", code="blanket") == []
    assert _behind(lived, figure="bounced", stage="styles") == []
    assert _behind(lived, figure="done", stage="adjudication") == [1]


def test_answers_are_found_by_the_days_they_were_given_on(
    lived: Steered, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = lived.items("weeks")
    days = [("2026-03-02", "2026-03-08"), ("2026-03-09", "2026-03-15")]
    # Small windows: a page is put together from several, and ends in the middle of one.
    monkeypatch.setattr(queries, "WINDOW", 2)
    monkeypatch.setattr(queries, "WINDOWS", 2)
    for week, (since, until) in zip((first, second), days, strict=True):
        found = _behind(lived, figure="done", since=since, until=until, limit=3)
        assert len(found) == week["answers"]
    assert _behind(lived, figure="done", until="2026-03-01") == []
    assert _behind(lived, figure="accepted", since="2026-03-02", until="9999-12-31") == [1]
    assert _behind(lived, figure="accepted", until="2026-03-08") == []


def test_a_style_leads_to_accepted_images_of_that_main_style(lived: Steered) -> None:
    assert _behind(lived, figure="styled", style="street") == [1]
    assert _behind(lived, figure="styled", style="resort") == []
    assert _behind(lived, figure="styled") == [1]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "figure"),
        ({"figure": "all"}, "figure"),
        ({"figure": "ready"}, "stage"),
        ({"figure": "done", "since": "2026-03-02", "until": "2026-03-01"}, "until"),
        ({"figure": "done", "code": "missing"}, "code"),
        ({"figure": "accepted", "style": "street"}, "style"),
        ({"figure": "ready", "stage": "segmentation", "since": "2026-03-02"}, "since"),
    ],
)
def test_what_is_asked_wrongly_is_named(steered: Steered, query: dict[str, str], field: str) -> None:
    answer = steered.get("images", **query)
    assert (answer.status_code, list(answer.json["errors"])) == (422, [field])


def test_only_admins_see_what_is_behind(steered: Steered) -> None:
    expert = steered.headers(steered.engine.crew[Grade.EXPERT][0])
    answer = steered.client.get("/api/v1/stats/images?figure=done", headers=expert)
    assert answer.status_code == 403
