"""Attributes by keys: what the model was unsure of is marked, found, and submitted as it was settled."""

from typing import Any

import pytest
from playwright.sync_api import expect

from crowd.policy import Stage
from tests.browser.conftest import Visit
from tests.browser.house import House, drawn
from tests.browser.visitors import Visitor

UNSURE = 0.6
MOST_KEYS = 100


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_doubtful_group_is_found_and_what_was_settled_there_is_submitted(
    visit: Visit, house: House, language: str
) -> None:
    house.proposing = house.erring = True
    image = house.image(Stage.ATTRIBUTES)
    house.person("general", "general")
    visitor = visit("general", "/work/attributes", language=language)
    visitor.await_task("attributes")
    visitor.press("Enter")
    settled = _settle_all(visitor, drawn(1).truth)
    expect(visitor.page.locator(".group [role=img]")).to_have_count(0)
    visitor.press("Enter")
    visitor.await_done(1)
    candidates = house.proposed_attributes(1)
    single = {key.key for key in house.rt.taxonomy.attributes if not key.multiple}
    submitted = house.seen(image)["labels"]["attributes"]["regions"]
    doubtful = set()
    for region, asked in candidates.items():
        for key, ranked in asked.items():
            if key not in single:
                continue
            is_doubtful = ranked[0]["score"] < UNSURE
            doubtful |= {(region, key)} if is_doubtful else set()
            wanted = settled.get((region, key)) if is_doubtful else ranked[0]["value"]
            assert submitted[region].get(key) == wanted, (region, key)
    assert doubtful
    assert {(region, key) for region, key in settled if key in single} == doubtful


def _settle_all(visitor: Visitor, truth: Any) -> dict[tuple[str, str], Any]:
    """The likeliest of all, and the truth where that was doubtful; several values are confirmed."""
    garments = [region["id"] for region in truth["segmentation"]["regions"]]
    settled: dict[tuple[str, str], Any] = {}
    taken: set[str] = set()
    buttons = visitor.page.get_by_role("group", name=visitor.word("attributes.garments")).get_by_role(
        "button"
    )
    opened = visitor.page.locator(".group.open")
    for _ in range(MOST_KEYS):
        pressed = [each.get_attribute("aria-pressed") for each in buttons.all()] or ["true"]
        region = garments[pressed.index("true")]
        key = opened.get_attribute("data-group") or ""
        if region not in taken:
            taken.add(region)
            visitor.press("a")
        elif opened.get_by_role("img", name=visitor.word("attributes.doubtful")).count():
            settled[region, key] = value = truth["attributes"]["regions"][region][key]
            _answer(visitor, value)
        elif visitor.page.locator("footer button.main kbd").inner_text() == "Enter":
            return settled
        else:
            visitor.press("d")
    raise AssertionError("D never came to an end")


def _answer(visitor: Visitor, value: Any) -> None:
    if isinstance(value, list):
        visitor.press("Enter")
    elif value is None:
        visitor.press("0")
    else:
        visitor.page.locator(f".group.open [data-value='{value}']").click()
