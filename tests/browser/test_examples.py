"""Example pictures in the browser: an admin chooses them, experts see them while they choose styles."""

import pytest
from playwright.sync_api import expect

from crowd.policy import Stage
from tests.browser.conftest import Visit
from tests.browser.house import House, main_style
from tests.browser.visitors import Visitor

SHOWN, AT_HAND = 1, 2


@pytest.fixture
def gallery(house: House) -> House:
    """An accepted image, and one whose styles are to be chosen."""
    house.image(None, seed=SHOWN)
    house.image(Stage.STYLES, seed=AT_HAND)
    house.person("admin", "admin")
    house.person("expert", "expert")
    return house


def _choose(admin: Visitor, korean: str, english: str) -> None:
    window = admin.page.get_by_role("dialog")
    window.get_by_label(admin.word("examples.caption_ko")).fill(korean)
    window.get_by_label(admin.word("examples.caption_en")).fill(english)
    window.get_by_label(admin.word("people.reason")).fill("typical")
    admin.press("Enter")
    expect(window).to_have_count(0)


def test_an_example_is_chosen_by_mouse_seen_beside_the_styles_and_taken_away(
    visit: Visit, gallery: House
) -> None:
    style = main_style(SHOWN)
    admin = visit("admin", f"/admin/behind?figure=styled&style={style}")
    admin.page.get_by_role("link", name=admin.word("examples.title")).click()
    admin.page.locator(".pick").first.click()
    _choose(admin, "넓은 <b>바지</b>", "Wide <b>trousers</b>")
    expect(admin.page.get_by_role("status")).to_have_text(admin.word("examples.added"))
    expect(admin.page.locator("[data-chosen]")).to_have_count(1)
    expect(admin.page.locator(".pick")).to_have_count(0)
    expert = visit("expert", "/work/styles")
    expert.await_task("styles")
    expert.button("precheck.good").click()
    expert.page.locator(f"[data-style='{style}']").hover()
    thumbnail = expert.page.locator("[data-example]")
    expect(thumbnail).to_have_accessible_name("Wide <b>trousers</b>")
    assert thumbnail.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    thumbnail.click()
    large = expert.page.get_by_role("dialog").locator("figure")
    expect(large.locator("figcaption")).to_have_text("Wide <b>trousers</b>")
    assert large.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    admin.button("examples.remove").click()
    admin.page.get_by_role("dialog").get_by_label(admin.word("people.reason")).fill("a better one")
    admin.press("Enter")
    expect(admin.page.locator("[data-chosen]")).to_have_count(0)
    expert.visit("/work/styles")
    expert.await_task("styles")
    with expert.page.expect_response("**/api/v1/examples?*"):
        expert.press("Enter")
        expert.page.locator(f"[data-style='{style}']").focus()
    expect(expert.page.locator(".definition")).to_be_visible()
    expect(expert.page.locator("[data-example]")).to_have_count(0)


def test_an_example_is_chosen_and_seen_by_keys_alone_in_korean(visit: Visit, gallery: House) -> None:
    style = main_style(SHOWN)
    image = next(iter(gallery.seeds))
    admin = visit("admin", f"/admin/images/{image}", language="ko")
    admin.page.get_by_role("link", name=gallery.rt.taxonomy.style(style).ko, exact=True).focus()  # type: ignore[union-attr]
    admin.press("Enter")
    number = admin.page.get_by_label(admin.word("examples.number"))
    expect(number).to_have_value(str(image))
    number.focus()
    admin.press("Enter")
    _choose(admin, "넓은 바지", "Wide trousers")
    expert = visit("expert", "/work/styles", language="ko")
    expert.await_task("styles")
    expert.press("Enter", "/")
    expert.page.keyboard.type(style)
    expert.press("Enter")
    expect(expert.page.locator("[data-example]")).to_have_accessible_name("넓은 바지")
    expert.press("e")
    expect(expert.page.get_by_role("dialog").locator("figcaption")).to_have_text("넓은 바지")
    expert.press("Escape")
    # Until the window has gone keys are its own.
    expect(expert.page.get_by_role("dialog")).to_have_count(0)
    expert.press("Shift+G")
    guide = expert.page.get_by_role("dialog")
    expect(guide.locator("[data-example]")).to_be_visible()
    expert.press("Escape")
    expect(guide).to_have_count(0)
    expert.press("Enter")
    expert.await_done(1)


def test_a_style_without_an_example_says_so_and_nothing_moves_when_another_is_looked_at(
    visit: Visit, gallery: House
) -> None:
    style = main_style(SHOWN)
    gallery.example(next(iter(gallery.seeds)), style)
    other = next(each.key for each in gallery.rt.taxonomy.styles if each.key != style)
    expert = visit("expert", "/work/styles")
    expert.await_task("styles")
    expert.press("Enter")
    expert.page.locator(f"[data-style='{style}']").focus()
    strip = expert.page.locator(".strip")
    expect(strip.locator("[data-example]")).to_be_visible()
    high = strip.evaluate("element => element.offsetHeight")
    expert.page.locator(f"[data-style='{other}']").focus()
    expect(strip).to_have_text(expert.word("examples.none"))
    assert strip.evaluate("element => element.offsetHeight") == high
