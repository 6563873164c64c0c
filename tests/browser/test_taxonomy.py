"""The taxonomy edited by an admin and met by a labeller, in the browser."""

import pytest
from playwright.sync_api import expect

from crowd.policy import Stage
from crowd.tasks.taxonomies import shelf
from tests.browser.conftest import Visit
from tests.browser.house import House
from tests.browser.visitors import Visitor

EVIL = '<img src=x onerror="window.hacked=1">'


def publish(admin: Visitor, reason: str) -> None:
    """Look at what would change, and have it hold, by keys alone."""
    admin.button("terms.look").focus()
    admin.press("Enter")
    expect(admin.page.get_by_role("heading", name=admin.word("terms.preview"))).to_be_focused()
    why = admin.page.get_by_label(admin.word("people.reason"))
    # From the heading over the version's name to the reason.
    admin.press("Tab", "Tab")
    expect(why).to_be_focused()
    admin.page.keyboard.type(reason)
    admin.press("Enter")
    expect(admin.page.get_by_role("status")).to_be_visible()


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_definition_is_edited_and_read_by_a_labeller_at_work(
    visit: Visit, house: House, language: str
) -> None:
    house.person("admin", "admin")
    house.person("expert", "expert")
    house.image(Stage.STYLES)
    house.image(Stage.STYLES)
    worker = visit("expert", "/work/styles", language=language)
    worker.await_task("styles")
    admin = visit("admin", "/admin/taxonomy", language=language)
    admin.page.locator("[data-entry=resort]").click()
    form = admin.page.locator("[data-open=resort]")
    definition = admin.word("styles.definition")
    form.get_by_label(f"{definition} · 한국어").fill(f"휴양지의 옷 {EVIL}")
    form.get_by_label(f"{definition} · English").fill(f"Clothes of the seaside {EVIL}")
    publish(admin, "was missing")
    expect(admin.page.locator("[data-version='1']")).to_contain_text("was missing")
    # Claimed under the version that has gone: it is answered as it was, and the next task brings the new one.
    assert shelf(house.rt).present().number == 1
    house.image(Stage.STYLES)
    house.image(Stage.STYLES)
    for done in (1, 2, 3):
        worker.press("Enter", "/")
        worker.page.keyboard.type("resort")
        worker.press("Enter", "Enter")
        worker.await_done(done)
    worker.press("Enter")
    worker.page.locator("[data-style=resort]").hover()
    told = worker.page.locator(".definition")
    expect(told).to_contain_text("휴양지의 옷" if language == "ko" else "Clothes of the seaside")
    expect(told).to_contain_text(EVIL)
    for page in (worker.page, admin.page):
        assert page.evaluate("window.hacked") is None
        assert page.locator("img[src=x]").count() == 0


def test_a_value_is_added_another_retired_and_neither_choice_is_lost(visit: Visit, house: House) -> None:
    house.person("admin", "admin")
    house.person("expert", "expert")
    house.image(Stage.FIRST_REVIEW)
    admin = visit("admin", "/admin/taxonomy")
    admin.page.get_by_label(admin.word("terms.code")).fill("gorpcore")
    add = admin.page.locator("form").filter(has=admin.page.get_by_label(admin.word("terms.code")))
    add.get_by_label("한국어").fill("고프코어")
    add.get_by_label("English").fill("Gorpcore")
    add.get_by_role("button").click()
    expect(admin.page.locator("[data-open=gorpcore]")).to_be_visible()
    admin.page.locator("[data-entry=resort]").click()
    admin.page.get_by_label(admin.word("terms.retire")).check()
    publish(admin, "a new style")
    changes = admin.page.locator("[data-version='1']")
    changes.get_by_role("button").click()
    expect(admin.page.locator("[data-change='styles.gorpcore']")).to_contain_text("고프코어 / Gorpcore")
    expect(admin.page.locator("[data-change='styles.resort']")).to_be_visible()
    house.image(Stage.STYLES)
    worker = visit("expert", "/work/styles")
    worker.await_task("styles")
    worker.press("Enter")
    expect(worker.page.locator("[data-style=gorpcore]")).to_be_visible()
    expect(worker.page.locator("[data-style=resort]")).to_have_count(0)


def test_what_cannot_be_published_is_told_and_kept_in_the_form(visit: Visit, house: House) -> None:
    house.person("admin", "admin")
    admin = visit("admin", "/admin/taxonomy", language="ko")
    admin.page.locator("[data-entry=street]").click()
    form, definition = admin.page.locator("[data-open=street]"), admin.word("styles.definition")
    form.get_by_label(f"{definition} · English").fill("Half")
    form.get_by_label(f"{definition} · 한국어").fill("")
    admin.button("terms.look").click()
    expect(admin.page.get_by_role("alert")).to_contain_text("must not be empty")
    expect(admin.page.locator("[data-outlook]")).to_have_count(0)
    form.get_by_label(f"{definition} · 한국어").fill("반")
    admin.button("terms.look").click()
    expect(admin.page.locator("[data-outlook]")).to_contain_text("styles.street.definition")
    version = admin.page.get_by_label(admin.word("terms.version"), exact=True)
    expect(version).to_have_value("1.04-2")
    version.fill("1.04-1")
    admin.page.get_by_label(admin.word("people.reason")).fill("이유")
    expect(admin.button("terms.publish")).to_be_disabled()
    admin.button("terms.look").click()
    expect(version).to_have_value("1.04-2")
    expect(admin.button("terms.publish")).to_be_enabled()
