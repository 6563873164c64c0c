"""What comes in, in the browser: suppliers send, the refining team covers and hands over, admins decide."""

import pytest
from playwright.sync_api import expect

from crowd.accounts.models import AccountKind
from crowd.images import deliveries
from crowd.images.models import Rights, What
from crowd.policy import Stage
from tests.browser.conftest import Visit
from tests.browser.house import House, photograph
from tests.browser.visitors import Visitor


@pytest.fixture
def handlers(house: House) -> House:
    """A house with a supplier, a refiner and an admin."""
    house.handler(AccountKind.SUPPLIER, "shop", "A shop")
    house.handler(AccountKind.REFINER, "refiner")
    house.person("admin", "admin")
    return house


def _events(house: House, image_id: int, what: What) -> int:
    return sum(event["what"] == what for event in house.seen(image_id)["history"])


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_supplier_sends_files_sees_what_was_found_and_nothing_else(
    visit: Visit, handlers: House, language: str
) -> None:
    shop = visit("shop", "/", language=language)
    expect(shop.page.get_by_role("heading", level=1)).to_have_text(shop.word("deliveries.title"))
    shop.page.get_by_label(shop.word("deliveries.name")).fill("spring <b>")
    shop.page.get_by_label(shop.word("images.rights")).select_option("owned")
    shop.button("deliveries.begin").click()
    chooser = shop.page.get_by_label(shop.word("deliveries.choose"), exact=True)
    files = [
        {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": photograph(1)},
        {"name": "not.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"},
    ]
    chooser.set_input_files(files)  # type: ignore[arg-type]
    expect(shop.page.locator("[data-sent]")).to_have_attribute("data-sent", "2")
    expect(shop.page.get_by_text("a.jpg").first).to_be_visible()
    refused = shop.page.get_by_role("group", name=shop.word("images.state"))
    expect(refused.get_by_role("button", name=shop.word("told.refused"))).to_contain_text("1")
    expect(shop.page.get_by_role("row").filter(has_text=shop.word("finding.unreadable"))).to_be_visible()
    assert shop.page.locator("main img").count() == 0
    shop.button("move.sorted").click()
    expect(shop.page.locator("[aria-current=step]")).to_contain_text(shop.word("step.sorted"))
    expect(chooser).to_have_count(0)
    for closed in ("/work", "/admin", "/admin/suppliers", "/me"):
        shop.visit(closed)
        expect(shop.page.get_by_role("heading", name=shop.word("lost_page"))).to_be_visible()


def test_a_refiner_covers_a_face_crops_and_hands_over(visit: Visit, handlers: House) -> None:
    delivery = handlers.delivery("spring", "A shop", Rights.OWNED, 1)
    refiner = visit("refiner", f"/deliveries/{delivery}")
    refiner.page.locator(".frame").first.click()
    window = refiner.page.get_by_role("dialog")
    window.wait_for()
    refiner.page.wait_for_load_state("networkidle")
    refiner.drag((0.4, 0.2), (0.6, 0.4))
    window.get_by_role("button", name=refiner.word("retouch.cover")).click()
    expect(window.locator(".picture img[src*='?v=']")).to_be_visible()
    for field, value in (("left", 10), ("top", 10), ("width", 200), ("height", 300)):
        window.get_by_label(refiner.word(f"retouch.{field}")).fill(str(value))
    window.get_by_role("button", name=refiner.word("retouch.crop")).click()
    expect(window.get_by_text("200 × 300")).to_be_visible()
    refiner.press("Escape")
    for step in ("sorted", "refined", "handed_over"):
        refiner.button(f"move.{step}").click()
        expect(refiner.page.locator("[aria-current=step]")).to_contain_text(refiner.word(f"step.{step}"))
    assert deliveries.open_all_waiting(handlers.rt) == 1
    task = handlers.bot("general", "drawer").claim()
    assert (task["image"]["width"], task["image"]["height"]) == (200, 300)
    events = [_events(handlers, task["image"]["id"], what) for what in (What.COVERED, What.CROPPED)]
    assert events == [1, 1]


def test_an_admin_releases_what_is_held_and_says_why(visit: Visit, handlers: House) -> None:
    delivery = handlers.delivery("spring", "A shop", Rights.UNKNOWN, 1)
    admin = visit("admin", f"/deliveries/{delivery}")
    admin.page.get_by_role("button", name=admin.word("finding.rights_unknown")).click()
    admin.page.locator(".frame").first.click()
    window = admin.page.get_by_role("dialog")
    window.get_by_label(admin.word("why")).fill("the shop has signed")
    window.get_by_role("button", name=admin.word("retouch.release")).click()
    expect(admin.page.locator(".images .tag").first).to_have_text(admin.word("told.taken"))
    assert handlers.bot("general", "drawer").claim()["stage"] == Stage.SEGMENTATION


def test_suppliers_contracts_and_logins_are_made_and_a_contract_ended(visit: Visit, handlers: House) -> None:
    admin = visit("admin", "/admin/suppliers")
    admin.page.get_by_label(admin.word("suppliers.name"), exact=True).fill("New shop")
    admin.button("suppliers.add").click()
    expect(admin.page.get_by_role("heading", name="New shop")).to_be_visible()
    admin.page.get_by_label(admin.word("login.name"), exact=True).fill("new-login")
    admin.button("suppliers.add_account").click()
    expect(admin.page.locator(".secrets code").first).to_be_visible()
    admin.visit("/contracts")
    admin.page.get_by_label(admin.word("images.supplier")).fill("New shop")
    admin.page.get_by_label(admin.word("contracts.name")).fill("2026")
    admin.page.get_by_label(admin.word("contracts.to")).fill("2020-01-31")
    admin.page.get_by_label(admin.word("contracts.file")).set_input_files(
        {"name": "consent.pdf", "mimeType": "application/pdf", "buffer": b"we agree"}
    )
    admin.button("contracts.add").click()
    row = admin.page.get_by_role("row").filter(has_text="consent.pdf")
    expect(row).to_contain_text(admin.word("contract.expired"))
    row.get_by_role("button", name=admin.word("contracts.withdraw")).click()
    admin.page.get_by_role("dialog").get_by_label(admin.word("why")).fill("the shop closed")
    admin.page.get_by_role("dialog").get_by_role("button", name=admin.word("contracts.withdraw")).click()
    expect(row).to_contain_text(admin.word("contract.withdrawn"))


@pytest.fixture
def drawer(visit: Visit, house: House) -> Visitor:
    """Somebody who draws, with proposals before them."""
    house.person("general", "general")
    house.proposing = True
    house.image()
    visitor = visit("general", "/work/segmentation")
    visitor.await_task("segmentation")
    return visitor


def test_a_missed_face_is_covered_by_keys_alone_and_the_drawing_stays(drawer: Visitor, house: House) -> None:
    drawer.press("a")
    regions = drawer.page.locator("[data-region]").count()
    drawer.press("c", "Space", "Shift+ArrowRight", "Shift+ArrowDown", "Space")
    drawer.page.get_by_role("dialog").wait_for()
    drawer.press("1")
    expect(drawer.page.locator(".picture img[src*='?v=']")).to_be_visible()
    expect(drawer.page.locator("[data-region]")).to_have_count(regions)
    drawer.reopen("/work/segmentation")
    drawer.await_task("segmentation")
    expect(drawer.page.locator(".picture img[src*='?v=']")).to_be_visible()
    expect(drawer.page.locator("[data-region]")).to_have_count(regions)
    drawer.press("Control+Enter")
    drawer.await_done(1)
    (image,) = house.seeds
    assert _events(house, image, What.COVERED) == 1


def test_what_was_drawn_moves_with_a_picture_that_is_cut(drawer: Visitor, house: House) -> None:
    drawer.press("a")
    before = drawer.page.locator("[data-region]").first.get_attribute("d")
    drawer.press("c")
    drawer.drag((0.45, 0.03), (0.55, 0.1))
    drawer.page.get_by_role("dialog").wait_for()
    drawer.button("cover.crop").click()
    expect(drawer.page.get_by_role("dialog")).to_have_count(0)
    expect(drawer.page.locator(".picture img[src*='?v=']")).to_be_visible()
    assert drawer.page.locator("[data-region]").first.get_attribute("d") != before
    drawer.press("Control+Enter")
    drawer.await_done(1)
    (image,) = house.seeds
    (event,) = [each for each in house.seen(image)["history"] if each["what"] == What.CROPPED]
    drawn = house.seen(image)["labels"]["segmentation"]["regions"]
    lowest = max(y for region in drawn for ring in region["rings"] for _, y in ring)
    right = house.right_answer(Stage.SEGMENTATION, 1)["regions"]
    first = max(y for region in right for ring in region["rings"] for _, y in ring)
    assert lowest == pytest.approx(first - event["why"]["kept"][1], abs=0.2)
