"""Data sets asked for and granted, guidelines rewritten, in the browser."""

import pytest
from playwright.sync_api import expect

from crowd.core import clock
from crowd.datasets import service as datasets
from crowd.datasets.jobs import run_exports
from crowd.policy import Stage
from crowd.tasks import taxonomies
from tests.browser.conftest import Visit
from tests.browser.house import House

EVIL = '<img src=x onerror="window.hacked=1">'


@pytest.fixture
def release(house: House) -> int:
    """A data set with files."""
    house.person("admin", "admin")
    house.image(None)
    taxonomy = taxonomies.ensure(house.rt.db, house.rt.taxonomy)
    made = datasets.create_release(house.rt.db, "spring-1", taxonomy_id=taxonomy, by=None, now=clock.now())
    house.people["admin"].post(f"/releases/{made.id}/exports", {"format": "coco"})
    run_exports(house.rt)
    return int(made.id)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_data_set_is_asked_for_granted_fetched_and_the_fetch_noted(
    visit: Visit, house: House, release: int, language: str
) -> None:
    house.person("expert", "expert")
    asker = visit("expert", "/access", language=language)
    asker.page.get_by_role("button", name="spring-1").click()
    asker.page.get_by_label(asker.word("access.purpose")).fill(f"a thesis {EVIL}")
    asker.button("access.ask").click()
    expect(asker.page.get_by_role("row").filter(has_text="spring-1")).to_contain_text(
        asker.word("access_is.asked")
    )
    admin = visit("admin", "/access", language=language)
    admin.page.get_by_role("button", name="spring-1").click()
    request = admin.page.locator("[data-request]")
    expect(request).to_contain_text(EVIL)
    approve = request.get_by_role("button", name=admin.word("verdict.approve"))
    expect(approve).to_be_disabled()
    request.get_by_label(admin.word("why")).fill("a partner")
    approve.click()
    expect(request).to_contain_text(admin.word("access_is.approved"))
    asker.visit("/access")
    asker.page.get_by_role("button", name="spring-1").click()
    with asker.page.expect_download() as download:
        asker.page.get_by_role("link", name=asker.word("exports.download")).click()
    assert download.value.suggested_filename == "spring-1-coco.zip"
    admin.visit("/access")
    admin.page.get_by_role("button", name="spring-1").click()
    log = admin.page.get_by_role("row").filter(has_text="coco")
    expect(log).to_contain_text("expert")
    request.get_by_label(admin.word("why")).fill("over")
    request.get_by_role("button", name=admin.word("verdict.revoke")).click()
    expect(request).to_contain_text(admin.word("access_is.revoked"))
    assert admin.page.evaluate("window.hacked") is None


def test_a_guideline_is_rewritten_and_read_beside_the_task(visit: Visit, house: House) -> None:
    house.person("admin", "admin")
    house.person("general", "general")
    house.image(Stage.SEGMENTATION)
    admin = visit("admin", "/admin/guidelines", language="ko")
    text = admin.page.get_by_label(admin.word("guidelines.text"))
    expect(text).not_to_have_value("")
    text.fill(f"## 새 제목\n\n- **가장자리**를 따라\n- {EVIL}\n")
    expect(admin.page.locator(".lines .added").first).to_be_visible()
    admin.page.get_by_label(admin.word("people.reason")).fill("더 짧게")
    admin.button("guidelines.write").click()
    expect(admin.page.get_by_role("cell", name="더 짧게")).to_be_visible()
    worker = visit("general", "/work/segmentation", language="ko")
    worker.await_task("segmentation")
    worker.press("Shift+G")
    window = worker.page.get_by_role("dialog")
    expect(window.get_by_role("heading", name="새 제목")).to_be_visible()
    expect(window.locator("strong")).to_have_text("가장자리")
    expect(window.get_by_text(EVIL)).to_be_visible()
    for page in (worker.page, admin.page):
        assert page.evaluate("window.hacked") is None
        assert page.locator("img[src=x]").count() == 0
    admin.page.get_by_role("button", name=admin.word("guidelines.take")).last.click()
    expect(text).not_to_contain_text("새 제목")
