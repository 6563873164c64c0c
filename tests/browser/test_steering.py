"""What admins do in the browser; and that what people write stays text."""

import pytest
from playwright.sync_api import expect

from crowd.datasets.jobs import run_exports
from crowd.images import service as intake
from crowd.images.models import Rights
from crowd.images.service import Delivery
from crowd.policy import Stage
from tests.browser.conftest import Visit
from tests.browser.house import House, photograph
from tests.browser.visitors import Visitor

EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'


@pytest.fixture
def admin(visit: Visit, house: House) -> Visitor:
    """An admin at the dashboard."""
    house.person("admin", "admin")
    return visit("admin", "/")


def test_an_admin_lands_on_the_dashboard_and_sees_how_the_work_stands(admin: Visitor, house: House) -> None:
    house.image(Stage.STYLES)
    admin.visit("/")
    expect(admin.page.get_by_role("heading", level=1, name=admin.word("admin.dashboard"))).to_be_visible()
    row = admin.page.get_by_role("row").filter(has_text=admin.word("stage.styles"))
    expect(row.get_by_role("cell").nth(1)).to_have_text("1")


def test_somebody_is_let_in_and_promoted_with_a_reason(admin: Visitor, house: House) -> None:
    admin.visit("/admin/people")
    admin.page.get_by_label(admin.word("login.name")).fill("newcomer")
    admin.page.get_by_role("button", name=admin.word("people.add")).click()
    expect(admin.page.locator(".secrets code").first).to_be_visible()
    admin.page.get_by_role("link", name="newcomer").click()
    admin.page.get_by_label(admin.word("people.reason")).fill("ten good weeks")
    admin.page.locator("main form select").select_option("reviewer")
    admin.page.get_by_role("button", name=admin.word("people.regrade")).click()
    expect(admin.page.get_by_role("cell", name="ten good weeks")).to_be_visible()
    known = house.people["admin"].read("/workers?limit=200")["items"]
    assert {"newcomer": "reviewer"}.items() <= {each["username"]: each["grade"] for each in known}.items()


def test_a_held_image_is_found_looked_at_and_decided(admin: Visitor, house: House) -> None:
    delivery = Delivery("A shop", "unknown.jpg", Rights.UNKNOWN, None)
    held = intake.take_upload(house.rt, photograph(1), delivery, None)
    admin.visit("/admin")
    admin.page.get_by_role("link", name=admin.word("work.image", id=held.image_id)).click()
    admin.page.get_by_label(admin.word("why")).fill("the contract came in")
    admin.page.locator("form").get_by_role("button", name=admin.word("images.decide")).click()
    expect(admin.page.get_by_role("heading", level=1)).to_contain_text(admin.word("state.in_work"))
    assert house.seen(held.image_id)["state"] == "in_work"


def test_a_release_is_frozen_exported_and_downloaded(admin: Visitor, house: House) -> None:
    house.image(None)
    admin.visit("/admin/releases")
    admin.page.get_by_label(admin.word("releases.name")).fill("spring-1")
    admin.page.get_by_role("button", name=admin.word("releases.create")).click()
    expect(admin.page.get_by_role("row").filter(has_text="spring-1")).to_contain_text("1")
    admin.page.get_by_role("button", name=admin.word("exports.order")).click()
    expect(admin.page.get_by_text(admin.word("export.pending"))).to_be_visible()
    run_exports(house.rt)
    with admin.page.expect_download() as download:
        admin.page.get_by_role("link", name=admin.word("exports.download")).click()
    assert download.value.suggested_filename == "spring-1-kfashion.zip"


def test_a_worker_finds_no_admin_pages(visit: Visit, house: House) -> None:
    house.person("general", "general")
    visitor = visit("general", "/admin/people")
    expect(visitor.page.get_by_role("heading", name=visitor.word("lost_page"))).to_be_visible()


def test_what_people_write_stays_text(admin: Visitor, visit: Visit, house: House) -> None:
    delivery = Delivery(EVIL[:60], f"{EVIL}.jpg", Rights.OWNED, None)
    image = intake.take_upload(house.rt, photograph(1), delivery, None).image_id
    drawer = house.person("general", "general")
    task = drawer.claim()
    drawer.post(f"/tasks/{task['id']}/comments", {"text": EVIL})
    drawer.submit(task, house.right_answer(Stage.SEGMENTATION, 1))
    tagger = house.bot("general", "tagger")
    tagger.send_back(tagger.claim(), comment=EVIL)
    visitor = visit("general", "/work")
    visitor.await_task("segmentation")
    expect(visitor.page.get_by_text("window.hacked").first).to_be_visible()
    visitor.press("Shift+T")
    visitor.visit("/me")
    expect(visitor.page.get_by_text("window.hacked").first).to_be_visible()
    admin.visit(f"/admin/images/{image}")
    expect(admin.page.get_by_text("window.hacked").first).to_be_visible()
    for page in (visitor.page, admin.page):
        assert page.evaluate("window.hacked") is None
        assert page.locator("img[src=x]").count() == 0


def test_a_wrong_password_is_told_and_the_right_one_opens_the_page(visit: Visit, house: House) -> None:
    house.person("general", "general")
    visitor = visit(language="ko")
    for password in ("wrong", "a good long password"):
        visitor.page.get_by_label(visitor.word("login.name")).fill("general")
        visitor.page.get_by_label(visitor.word("login.password")).fill(password)
        visitor.press("Enter")
        if password == "wrong":
            expect(visitor.page.get_by_role("alert")).to_contain_text(visitor.word("login.wrong"))
    expect(visitor.page.get_by_role("heading", level=1)).to_contain_text("general")
    stored = visitor.page.evaluate("JSON.stringify({ ...localStorage, ...sessionStorage })")
    assert "token" not in stored
    assert "password" not in stored


def test_the_language_is_changed_and_kept(visit: Visit, house: House) -> None:
    visitor = visit()
    visitor.page.get_by_role("button", name="한국어").click()
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("로그인")
    assert visitor.page.evaluate("document.documentElement.lang") == "ko"
    visitor.visit("/")
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("로그인")
