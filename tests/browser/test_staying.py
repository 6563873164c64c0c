"""Nothing that was done is lost: not by a reload, another machine, a lost connection, or a lost lease."""

from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from crowd.policy import Stage
from tests.browser.conftest import Visit
from tests.browser.house import House
from tests.browser.visitors import Visitor
from tests.core.processes import eventually


def _box(visitor: Visitor) -> None:
    visitor.press("b")
    visitor.drag((0.4, 0.3), (0.6, 0.6))
    expect(visitor.page.locator(".regions li")).to_have_count(1)


def _submitted(house: House) -> int:
    progress: Any = house.bot("admin", "the-admin").read("/stats/progress")
    done: int = progress["stages"]["segmentation"]["done"]
    return done


def test_a_drawing_survives_a_reload(visit: Visit, house: House) -> None:
    house.image()
    house.person("general", "general")
    visitor = visit("general", "/work")
    task = visitor.await_task("segmentation")
    _box(visitor)
    visitor.page.wait_for_timeout(500)
    visitor.reopen("/work")
    assert visitor.await_task("segmentation") == task
    expect(visitor.page.locator(".regions li")).to_have_count(1)
    expect(visitor.page.locator("path.region")).to_have_count(1)


def test_a_drawing_is_found_again_at_another_machine(visit: Visit, house: House) -> None:
    house.proposing = True
    house.image()
    house.person("general", "general")
    first = visit("general", "/work")
    task = first.await_task("segmentation")
    with first.page.expect_response(lambda answer: answer.url.endswith("/draft") and answer.ok):
        _box(first)
    first.leave()
    second = visit("general", "/work")
    assert second.await_task("segmentation") == task
    expect(second.page.locator(".regions li")).to_have_count(1)
    expect(second.page.locator("path.proposal").first).to_be_attached()


def test_work_goes_on_without_a_connection_and_is_sent_afterwards(visit: Visit, house: House) -> None:
    for _ in range(3):
        house.image()
    house.person("general", "general")
    visitor = visit("general", "/work")
    visitor.await_task("segmentation")
    expect(visitor.page.locator("main[data-ahead]")).to_have_attribute("data-ahead", "2")
    visitor.context.set_offline(True)
    for unsent in (1, 2, 3):
        _box(visitor)
        visitor.press("Enter")
        expect(visitor.page.locator(f"[data-unsent='{unsent}']")).to_be_visible()
    expect(visitor.page.get_by_text(visitor.word("offline", n=3))).to_be_visible()
    assert _submitted(house) == 0
    visitor.context.set_offline(False)
    visitor.await_done(3)
    expect(visitor.page.locator("[data-unsent]")).to_have_count(0)
    assert _submitted(house) == 3


def test_half_a_minute_without_a_connection_loses_neither_answers_nor_a_drawing(
    visit: Visit, house: House
) -> None:
    for _ in range(3):
        house.image()
    house.person("general", "general")
    visitor = visit("general", "/work")
    visitor.await_task("segmentation")
    expect(visitor.page.locator("main[data-ahead]")).to_have_attribute("data-ahead", "2")
    tries: list[str] = []
    visitor.page.on(
        "requestfailed", lambda request: tries.append(request.url) if "/submit" in request.url else None
    )
    visitor.context.set_offline(True)
    for unsent in (1, 2):
        _box(visitor)
        visitor.press("Enter")
        expect(visitor.page.locator(f"[data-unsent='{unsent}']")).to_be_visible()
    third = visitor.await_task("segmentation")
    _box(visitor)
    visitor.page.wait_for_timeout(30_000)
    assert len(tries) >= 4, "it is tried again and again meanwhile"
    assert _submitted(house) == 0
    expect(visitor.page.locator(".regions li")).to_have_count(1)
    visitor.context.set_offline(False)
    visitor.await_done(2)
    assert visitor.await_task("segmentation") == third
    expect(visitor.page.locator("path.region")).to_have_count(1)
    visitor.press("Enter")
    visitor.await_done(3)
    expect(visitor.page.locator("[data-unsent]")).to_have_count(0)
    assert _submitted(house) == 3


def test_answers_not_yet_sent_outlive_the_page(visit: Visit, house: House) -> None:
    house.image()
    house.person("general", "general")
    visitor = visit("general", "/work")
    visitor.await_task("segmentation")
    visitor.page.route("**/submit", lambda route: route.abort())
    _box(visitor)
    visitor.press("Enter")
    expect(visitor.page.locator("[data-unsent='1']")).to_be_visible()
    visitor.page.unroute("**/submit")
    visitor.reopen("/work")
    visitor.await_done(1)
    assert _submitted(house) == 1


def test_an_answer_whose_receipt_got_lost_is_counted_once(visit: Visit, house: House) -> None:
    house.image()
    house.person("general", "general")
    visitor = visit("general", "/work")
    visitor.await_task("segmentation")
    lost: list[int] = []

    def lose_the_first(route: Route) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.fetch().status)
        route.abort()

    visitor.page.route("**/submit", lose_the_first)
    _box(visitor)
    visitor.press("Enter")
    visitor.await_done(1)
    assert lost == [200]
    assert _submitted(house) == 1


@pytest.mark.parametrize("house", [{"lease_seconds": 2}], indirect=True)
def test_a_lost_lease_is_told_and_the_drawing_comes_back_with_the_task(visit: Visit, house: House) -> None:
    house.image()
    house.person("general", "general")
    other = house.bot("general", "somebody-else")
    visitor = visit("general", "/work")
    task = visitor.await_task("segmentation")
    _box(visitor)
    visitor.context.set_offline(True)
    visitor.page.wait_for_timeout(2500)
    taken = other.claim()
    assert taken["id"] == task
    visitor.context.set_offline(False)
    expect(visitor.page.get_by_role("alertdialog")).to_contain_text(visitor.word("lost.lease_lost"))
    visitor.press("Enter")
    other.release(taken)
    expect(visitor.page.get_by_role("alertdialog")).to_have_count(0)
    assert visitor.await_task("segmentation") == task
    expect(visitor.page.locator(".regions li")).to_have_count(1)
    visitor.press("Enter")
    visitor.await_done(1)


def test_an_answer_that_the_server_corrects_comes_back_for_correction(visit: Visit, house: House) -> None:
    house.image()
    house.person("general", "general")
    visitor = visit("general", "/work")
    visitor.await_task("segmentation")

    def spoil(route: Route) -> None:
        body: Any = route.request.post_data_json
        body["result"]["regions"][0]["part"] = "hat"
        route.continue_(post_data=body)

    visitor.page.route("**/submit", spoil)
    _box(visitor)
    visitor.press("Enter")
    expect(visitor.page.get_by_role("alert")).to_contain_text("regions.0.part")
    visitor.page.unroute("**/submit")
    visitor.press("Enter")
    visitor.await_done(1)


def test_a_session_that_ends_meanwhile_is_begun_again_without_leaving_the_page(
    visit: Visit, house: House
) -> None:
    house.image()
    house.person("general", "general")
    visitor = visit("general", "/work")
    visitor.await_task("segmentation")
    _box(visitor)
    visitor.context.clear_cookies()
    visitor.press("Enter")
    dialog = visitor.page.get_by_role("dialog")
    expect(dialog).to_contain_text(visitor.word("login.again"))
    dialog.get_by_label(visitor.word("login.name")).fill("general")
    dialog.get_by_label(visitor.word("login.password")).fill("a good long password")
    visitor.press("Enter")
    visitor.await_done(1)
    assert _submitted(house) == 1


def test_a_second_tab_takes_no_tasks_of_the_first(visit: Visit, house: House) -> None:
    house.image()
    house.person("general", "general")
    visitor = visit("general", "/work")
    visitor.await_task("segmentation")
    tab: Page = visitor.context.new_page()
    tab.goto(f"{house.url}/work")
    expect(tab.get_by_role("heading", name=visitor.word("elsewhere.title"))).to_be_visible()
    tab.get_by_role("button", name=visitor.word("elsewhere.here")).click()
    expect(tab.locator("section.bench")).to_be_visible()
    expect(visitor.page.get_by_role("heading", name=visitor.word("elsewhere.title"))).to_be_visible()


def test_skipped_work_goes_to_somebody_else(visit: Visit, house: House) -> None:
    house.image()
    house.person("general", "general")
    visitor = visit("general", "/work")
    task = visitor.await_task("segmentation")
    visitor.press("Shift+X")
    visitor.page.get_by_role("dialog").get_by_role("button", name=visitor.word("work.skip")).last.click()
    expect(visitor.page.get_by_role("heading", name=visitor.word("idle.empty"))).to_be_visible()
    # The page says that there is nothing before its own release has come through.
    somebody = house.bot("general", "somebody-else")
    claimed: list[int] = []

    def has_claimed() -> bool:
        answer = somebody.ask(Stage.SEGMENTATION)
        claimed.extend([answer.json["id"]] if answer.status_code == 200 else [])
        return bool(claimed)

    assert eventually(has_claimed)
    assert claimed == [task]
