"""Second reviews in a grid: judged by mouse and by keys, looked at closely, and nothing of it lost."""

from typing import Any

import pytest
import sqlalchemy as sa
from playwright.sync_api import Locator, Request, Route, expect

from crowd.images.models import What
from crowd.policy import Stage
from crowd.tasks.models import Submission
from tests.browser.conftest import Visit
from tests.browser.house import House
from tests.browser.visitors import Visitor
from tests.core.processes import eventually

FINE: tuple[int, str | None, list[str]] = (5, None, [])


def _furnished(house: House, count: int) -> list[int]:
    house.person("inspector", "inspector")
    return [house.image(Stage.SECOND_REVIEW) for _ in range(count)]


def _at_the_grid(visit: Visit, count: int) -> Visitor:
    inspector = visit("inspector", "/work/grid")
    expect(inspector.page.locator(".tile")).to_have_count(count)
    return inspector


def _tile(visitor: Visitor, image: int) -> Locator:
    return visitor.page.locator(f".tile[data-image='{image}']")


def _verdicts(house: House) -> dict[int, tuple[int, str | None, list[str]]]:
    """What the inspector said of each image: score, blame, reasons."""
    wanted = sa.select(Submission.image_id, Submission.result).where(
        Submission.worker_id == house.people["inspector"].id
    )
    with house.rt.db.begin() as conn:
        rows = conn.execute(wanted).all()
    return {image: (given["score"], given["blame"], given["reasons"]) for image, given in rows}


def _first_reason(house: House, at_fault: Stage) -> str:
    return next(each.code for each in house.rt.taxonomy.reasons if at_fault.value in each.stages)


def _held(house: House) -> set[int]:
    return {lease["task_id"] for lease in house.people["inspector"].read("/me")["leases"]}


@pytest.mark.parametrize("way", ["mouse", "keys"])
def test_a_grid_of_second_reviews_is_sent_in_one_go(visit: Visit, house: House, way: str) -> None:
    images = _furnished(house, 3)
    inspector = _at_the_grid(visit, 3)
    sent: list[Any] = []

    def hear(request: Request) -> None:
        if request.url.endswith(("/submit", "/submit-batch")):
            sent.append(request.post_data_json)

    inspector.page.on("request", hear)
    wrong, differs, _ = images
    if way == "mouse":
        _tile(inspector, wrong).click()
        inspector.page.locator(".scores .s2").click()
        inspector.page.locator("[data-reason]").first.click()
        inspector.button("grid.back").click()
        _tile(inspector, differs).click()
        inspector.page.locator(".scores .s3").click()
        blamed = inspector.page.get_by_role("group", name=inspector.word("review.blame"))
        blamed.get_by_role("button", name=inspector.word("stage.first_review")).click()
        inspector.page.locator("[data-reason]").first.click()
        inspector.button("grid.back").click()
        inspector.button("grid.pass_rest").click()
        inspector.page.locator("button.main", has_text="3").click()
    else:
        _tile(inspector, wrong).focus()
        inspector.press("2", "q", "Enter")
        _tile(inspector, differs).focus()
        inspector.press("3", "Shift+4", "q", "Enter", "a", "Control+Enter")
    inspector.await_done(3)
    assert [len(each["answers"]) for each in sent] == [3]
    assert _verdicts(house) == {
        wrong: (2, "attributes", [_first_reason(house, Stage.ATTRIBUTES)]),
        differs: (3, "first_review", [_first_reason(house, Stage.FIRST_REVIEW)]),
        images[2]: FINE,
    }


def test_verdicts_survive_a_reload_and_a_look_at_another_page(visit: Visit, house: House) -> None:
    wrong, fine, unseen = _furnished(house, 3)
    inspector = _at_the_grid(visit, 3)
    _tile(inspector, wrong).focus()
    inspector.press("2", "q")
    inspector.page.get_by_label(inspector.word("comment")).fill("소매")
    inspector.button("grid.back").click()
    _tile(inspector, fine).focus()
    inspector.press("4")
    begun = {int(_tile(inspector, image).get_attribute("data-task") or 0) for image in (wrong, fine)}
    inspector.page.wait_for_timeout(500)
    inspector.reopen("/work/grid")
    expect(_tile(inspector, wrong)).to_have_attribute("data-score", "2")
    expect(_tile(inspector, fine)).to_have_attribute("data-score", "4")
    expect(_tile(inspector, unseen).locator(".score")).to_have_text("–")
    inspector.page.get_by_role("link", name=inspector.word("own.title")).click()
    expect(inspector.page.locator(".tile")).to_have_count(0)
    assert eventually(lambda: _held(house) == begun), "what was begun stays, the rest goes back"
    inspector.page.go_back()
    expect(inspector.page.locator(".tile")).to_have_count(3)
    _tile(inspector, wrong).click()
    expect(inspector.page.locator("[data-reason][aria-pressed=true]")).to_have_count(1)
    expect(inspector.page.get_by_label(inspector.word("comment"))).to_have_value("소매")
    inspector.press("Escape", "Control+Enter")
    inspector.await_done(2)
    given = _verdicts(house)
    assert {image: score for image, (score, _, _) in given.items()} == {wrong: 2, fine: 4}


def test_what_is_sent_without_a_connection_is_counted_and_arrives_afterwards(
    visit: Visit, house: House
) -> None:
    images = _furnished(house, 2)
    inspector = _at_the_grid(visit, 2)
    inspector.context.set_offline(True)
    inspector.press("a", "Control+Enter")
    expect(inspector.page.locator("[data-unsent='2']")).to_be_visible()
    expect(inspector.page.get_by_text(inspector.word("offline", n=2))).to_be_visible()
    assert _verdicts(house) == {}
    inspector.context.set_offline(False)
    inspector.await_done(2)
    expect(inspector.page.locator("[data-unsent]")).to_have_count(0)
    assert _verdicts(house) == dict.fromkeys(images, FINE)


def test_verdicts_not_yet_sent_outlive_the_page(visit: Visit, house: House) -> None:
    images = _furnished(house, 2)
    inspector = _at_the_grid(visit, 2)
    inspector.page.route("**/submit-batch", lambda route: route.abort())
    # What is sent has been kept before.
    with inspector.page.expect_event("requestfailed", lambda request: request.url.endswith("/submit-batch")):
        inspector.press("a", "Control+Enter")
    expect(inspector.page.locator("[data-unsent='2']")).to_be_visible()
    inspector.reopen("/work/grid")
    inspector.await_done(2)
    assert _verdicts(house) == dict.fromkeys(images, FINE)


def test_what_the_server_does_not_take_comes_back_with_the_reason(visit: Visit, house: House) -> None:
    images = _furnished(house, 3)
    inspector = _at_the_grid(visit, 3)
    spoilt: dict[str, int] = {}

    def spoil(route: Route) -> None:
        body: Any = route.request.post_data_json
        wrong, late, _ = body["answers"]
        wrong["result"]["score"] = 9
        late["token"] += 1
        spoilt.update(wrong=wrong["task_id"], late=late["task_id"])
        route.continue_(post_data=body)

    inspector.page.route("**/submit-batch", spoil)
    inspector.press("a", "Control+Enter")
    inspector.await_done(1)
    inspector.page.unroute("**/submit-batch")
    late = inspector.page.locator(f".tile[data-task='{spoilt['late']}']")
    expect(late).to_contain_text(inspector.word("lost.not_your_lease"))
    expect(inspector.page.get_by_text(inspector.word("grid.lost", n=1))).to_be_visible()
    wrong = inspector.page.locator(f".tile[data-task='{spoilt['wrong']}']")
    wrong.click()
    expect(inspector.page.get_by_role("alert").filter(has_text="score")).to_be_visible()
    inspector.press("4", "Enter", "Control+Enter")
    inspector.await_done(2)
    assert sorted(score for score, _, _ in _verdicts(house).values()) == [4, 5]
    assert len(images) == 3


@pytest.mark.parametrize("house", [{"lease_seconds": 2}], indirect=True)
def test_a_lost_image_is_told_and_comes_back_with_its_verdict(visit: Visit, house: House) -> None:
    (image,) = _furnished(house, 1)
    # The other seat is taken, so that there is this one alone to lose and to win.
    house.bot("inspector", "first").do(Stage.SECOND_REVIEW, house.right_answer(Stage.SECOND_REVIEW, 1))
    other = house.bot("inspector", "somebody-else")
    inspector = _at_the_grid(visit, 1)
    inspector.press("4")
    inspector.context.set_offline(True)
    inspector.page.wait_for_timeout(2500)
    taken = other.claim()
    inspector.context.set_offline(False)
    expect(_tile(inspector, image)).to_contain_text(inspector.word("lost.lease_lost"))
    expect(inspector.page.get_by_role("alert")).to_contain_text(inspector.word("grid.lost", n=1))
    inspector.press("5")
    expect(_tile(inspector, image)).to_have_attribute("data-score", "4")
    other.release(taken)
    inspector.button("grid.let_go").click()
    expect(inspector.page.locator(".tile:not(.gone)")).to_have_count(1)
    expect(_tile(inspector, image)).to_have_attribute("data-score", "4")
    inspector.press("Control+Enter")
    inspector.await_done(1)
    assert _verdicts(house) == {image: (4, None, [])}


def test_leases_are_kept_for_somebody_who_is_there_not_for_an_open_tab(visit: Visit, house: House) -> None:
    _furnished(house, 1)
    inspector = visit("inspector", "/")
    inspector.page.clock.install()
    inspector.visit("/work/grid")
    expect(inspector.page.locator(".tile")).to_have_count(1)
    beats: list[str] = []
    inspector.page.on("request", lambda each: beats.append(each.url) if "/heartbeat" in each.url else None)
    inspector.press("x")
    inspector.page.clock.fast_forward("03:00")
    inspector.page.wait_for_timeout(1500)
    assert len(beats) == 1
    inspector.page.clock.fast_forward("16:00")
    inspector.page.wait_for_timeout(2500)
    assert len(beats) == 1
    inspector.press("x")
    inspector.page.wait_for_timeout(2500)
    assert len(beats) == 2


def test_a_second_tab_takes_no_images_of_the_first(visit: Visit, house: House) -> None:
    _furnished(house, 1)
    inspector = _at_the_grid(visit, 1)
    inspector.press("4")
    inspector.page.wait_for_timeout(500)
    tab = inspector.context.new_page()
    tab.goto(f"{house.url}/work/grid")
    expect(tab.get_by_role("heading", name=inspector.word("elsewhere.title"))).to_be_visible()
    tab.get_by_role("button", name=inspector.word("elsewhere.here")).click()
    expect(tab.locator(".tile")).to_have_attribute("data-score", "4")
    expect(inspector.page.get_by_role("heading", name=inspector.word("elsewhere.title"))).to_be_visible()


def test_the_large_view_zooms_and_moves_and_shows_keys_and_guideline(visit: Visit, house: House) -> None:
    (image,) = _furnished(house, 1)
    inspector = _at_the_grid(visit, 1)
    inspector.press("m")
    view = inspector.page.locator(".picture svg")
    # Until the view knows its own size.
    expect(view).not_to_have_attribute("viewBox", "0 0 1 1")
    whole = view.get_attribute("viewBox") or ""
    inspector.press("Equal")
    expect(view).not_to_have_attribute("viewBox", whole)
    closer = view.get_attribute("viewBox") or ""
    assert float(closer.split()[2]) < float(whole.split()[2])
    inspector.drag((0.5, 0.5), (0.7, 0.6))
    expect(view).not_to_have_attribute("viewBox", closer)
    inspector.press("z")
    expect(view).to_have_attribute("viewBox", whole)
    for keys, title in (("Shift+?", "work.help"), ("Shift+G", "work.guide"), ("Shift+T", "work.talk")):
        inspector.press(keys)
        window = inspector.page.get_by_role("dialog", name=inspector.word(title))
        expect(window).to_be_visible()
        inspector.press("Escape")
        expect(window).to_have_count(0)
    expect(inspector.page.get_by_role("dialog")).to_have_count(1)
    inspector.press("Shift+X")
    skipping = inspector.page.get_by_role("dialog", name=inspector.word("work.skip"))
    skipping.get_by_role("button", name=inspector.word("work.skip")).last.click()
    expect(_tile(inspector, image)).to_have_count(0)
    assert eventually(lambda: _held(house) == set())


def test_a_face_is_covered_in_the_large_view(visit: Visit, house: House) -> None:
    (image,) = _furnished(house, 1)
    inspector = _at_the_grid(visit, 1)
    inspector.press("2", "q", "c", "Space", "Shift+ArrowRight", "Shift+ArrowDown", "Space")
    expect(inspector.button("cover.mosaic")).to_be_visible()
    inspector.press("1")
    expect(inspector.page.locator(".picture img[src*='?v=']")).to_be_visible()
    expect(inspector.page.locator("[data-reason][aria-pressed=true]")).to_have_count(1)
    covered = [event for event in house.seen(image)["history"] if event["what"] == What.COVERED]
    assert [event["stage"] for event in covered] == ["second_review"]
    inspector.press("c", "Escape")
    expect(inspector.page.get_by_role("dialog")).to_have_count(1)
    inspector.press("Enter")
    expect(_tile(inspector, image).locator("img[src*='?v=']")).to_be_visible()
