"""Keys do what is focused says and nothing too early; exports are listed wherever they were ordered."""

from playwright.sync_api import expect

from crowd.core import clock
from crowd.datasets import service as datasets
from crowd.datasets.jobs import run_exports
from crowd.policy import Stage
from crowd.tasks import taxonomies
from tests.browser.conftest import Visit
from tests.browser.house import House
from tests.browser.visitors import Visitor


def test_enter_on_another_button_of_the_window_does_not_send(visit: Visit, house: House) -> None:
    tagger = _tagger(visit, house)
    window = tagger.page.get_by_role("dialog")
    tagger.press("n", "r")
    reasons = window.get_by_role("group", name=tagger.word("reasons")).get_by_role("button")
    expect(reasons.and_(window.locator("[aria-pressed=true]"))).to_have_count(1)
    tagger.tab_to(reasons.and_(window.locator("[aria-pressed=false]")).first)
    tagger.press("Enter")
    expect(reasons.and_(window.locator("[aria-pressed=true]"))).to_have_count(2)
    tagger.tab_to(window.get_by_role("button", name=tagger.word("close")))
    tagger.press("Enter")
    expect(window).to_have_count(0)
    expect(tagger.bench).to_be_visible()
    assert _happened(house) == ["uploaded", "submitted"]


def test_no_key_empties_a_group_before_the_earlier_work_was_looked_at(visit: Visit, house: House) -> None:
    tagger = _tagger(visit, house)
    tagger.press("0")
    tagger.press("Enter")
    groups = tagger.page.locator(".group")
    expect(groups.first).to_contain_class("open")
    tagger.press("0")
    expect(groups.nth(1)).to_contain_class("open")


def test_an_export_ordered_elsewhere_is_listed_and_followed(visit: Visit, house: House) -> None:
    house.image(None)
    house.person("admin", "admin")
    taxonomy = taxonomies.ensure(house.rt.db, house.rt.taxonomy)
    made = datasets.create_release(house.rt.db, "first", taxonomy_id=taxonomy, by=None, now=clock.now())
    house.people["admin"].post(f"/releases/{made.id}/exports", {"format": "coco"})
    admin = visit("admin", "/admin/releases")
    export = admin.page.locator("li").filter(has_text="coco")
    expect(export).to_contain_text(admin.word("export.pending"))
    expect(export.get_by_role("progressbar")).to_be_visible()
    run_exports(house.rt)
    expect(export.get_by_role("link", name=admin.word("exports.download"))).to_be_visible()


def _tagger(visit: Visit, house: House) -> Visitor:
    """Somebody with the attributes of an image at hand."""
    house.image(Stage.ATTRIBUTES)
    house.person("general", "tagger")
    tagger = visit("tagger", "/work/attributes")
    tagger.await_task("attributes")
    return tagger


def _happened(house: House) -> list[str]:
    return [event["what"] for event in house.seen(1)["history"]]


def test_a_refusal_is_told_in_the_language_of_the_page(visit: Visit, house: House) -> None:
    house.person("admin", "admin")
    admin = visit("admin", "/admin/releases", language="ko")
    admin.page.get_by_label(admin.word("releases.name")).fill("first")
    admin.page.get_by_role("button", name=admin.word("releases.create")).click()
    expect(admin.page.get_by_role("alert")).to_contain_text("아직 승인된 이미지가 없어")
