"""The choice of styles: what is told of the one that is looked at has a place of its own."""

from typing import Any

import pytest
from playwright.sync_api import expect

from crowd.policy import Stage
from tests.browser.conftest import Visit
from tests.browser.house import EXAMPLE_SEEDS, House, main_style

# Where the choices stand in their list, however far it is scrolled, and the picture in the window.
PLACES = """() => [
  ...[...document.querySelectorAll('button.style')].map((each) => [each.offsetLeft, each.offsetTop]),
  document.querySelector('.picture').getBoundingClientRect().toJSON(),
]"""
COVERED = """(told) => {
  const { left, right, top, bottom } = told.getBoundingClientRect();
  const covers = (box) => box.left < right && box.right > left && box.top < bottom && box.bottom > top;
  const choices = [...document.querySelectorAll('button.style')];
  return choices.filter((each) => covers(each.getBoundingClientRect())).map((each) => each.textContent);
}"""


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_style_that_is_looked_at_is_told_about_in_sight_and_covers_and_moves_no_choice(
    visit: Visit, house: House, language: str
) -> None:
    house.proposing = True
    seed = EXAMPLE_SEEDS[0]
    house.example(house.image(None, seed=seed), main_style(seed))
    house.image(Stage.STYLES)
    house.person("expert", "expert")
    expert = visit("expert", "/work/styles", language=language)
    expert.await_task("styles")
    expert.press("Enter")
    told = expert.page.locator(".definition")
    choices = expert.page.locator("[data-style]")
    expect(choices).to_have_count(len(house.rt.taxonomy.styles))
    places: Any = expert.page.evaluate(PLACES)
    for style in house.rt.taxonomy.styles:
        choice = expert.page.locator(f"[data-style='{style.key}']")
        choice.focus()
        expect(told.get_by_role("heading")).to_contain_text(style.en)
        expect(told.locator(".strip")).to_be_visible()
        expect(told).to_be_in_viewport(ratio=1)
        # A scrolled list stands between two pixels.
        expect(choice).to_be_in_viewport(ratio=0.95)
        assert told.evaluate(COVERED) == []
        assert expert.page.evaluate(PLACES) == places
    example = main_style(seed)
    expert.page.locator(f"[data-style='{example}']").hover()
    expect(told.locator("[data-example] img")).to_be_in_viewport(ratio=1)
    assert told.evaluate(COVERED) == []
    assert expert.page.evaluate(PLACES) == places
