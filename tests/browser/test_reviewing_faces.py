"""A face that was missed is covered by reviewers, whose verdicts stay what they were."""

import pytest
from playwright.sync_api import expect

from crowd.images.models import What
from crowd.policy import Stage
from tests.browser.conftest import Visit
from tests.browser.house import House


def _covered(house: House) -> list[str]:
    (image,) = house.seeds
    return [event["stage"] for event in house.seen(image)["history"] if event["what"] == What.COVERED]


def test_a_reviewer_covers_a_face_by_keys_alone_and_judges_on(visit: Visit, house: House) -> None:
    house.image(Stage.FIRST_REVIEW)
    house.person("reviewer", "reviewer")
    reviewer = visit("reviewer", "/work/first_review", language="ko")
    reviewer.await_task("first_review")
    reviewer.press("2", "q", "c", "Space", "Shift+ArrowRight", "Shift+ArrowDown", "Space")
    reviewer.page.get_by_role("dialog").wait_for()
    expect(reviewer.button("cover.crop")).to_be_disabled()
    reviewer.press("1")
    expect(reviewer.page.get_by_role("dialog")).to_have_count(0)
    expect(reviewer.page.locator(".picture img[src*='?v=']")).to_be_visible()
    expect(reviewer.page.locator("[data-reason][aria-pressed=true]")).to_have_count(1)
    reviewer.press("5", "Enter")
    reviewer.await_done(1)
    assert _covered(house) == ["first_review"]


def test_an_inspector_covers_by_mouse_while_the_other_has_the_image_too(visit: Visit, house: House) -> None:
    house.image(Stage.SECOND_REVIEW)
    for name in ("inspector", "inspector-2"):
        house.person("inspector", name)
    one, other = (visit(name, "/work/second_review") for name in ("inspector", "inspector-2"))
    for each in (one, other):
        each.await_task("second_review")
    one.button("keys.cover").click()
    one.drag((0.45, 0.1), (0.55, 0.25))
    one.button("cover.mosaic").click()
    expect(one.page.locator(".picture img[src*='?v=']")).to_be_visible()
    other.press("c")
    other.drag((0.45, 0.1), (0.55, 0.25))
    other.button("cover.mosaic").click()
    expect(other.page.locator(".picture img[src*='?v=']")).to_be_visible()
    for done, each in enumerate((one, other)):
        assert len(_covered(house)) == 2
        each.press("5", "Enter")
        each.await_done(1)
        assert house.seen(next(iter(house.seeds)))["state"] == ("accepted" if done else "in_work")


@pytest.mark.parametrize("key", ["Escape", "c"])
def test_marking_is_left_off(visit: Visit, house: House, key: str) -> None:
    house.image(Stage.FIRST_REVIEW)
    house.person("reviewer", "reviewer")
    reviewer = visit("reviewer", "/work/first_review")
    reviewer.await_task("first_review")
    reviewer.press("c")
    expect(reviewer.page.get_by_text(reviewer.word("cover.mark"))).to_be_visible()
    reviewer.press("Space", "Shift+ArrowRight", key)
    expect(reviewer.page.get_by_text(reviewer.word("cover.mark"))).to_have_count(0)
    reviewer.press("Space", "Shift+ArrowDown", "Space")
    expect(reviewer.page.get_by_role("dialog")).to_have_count(0)
    assert _covered(house) == []
