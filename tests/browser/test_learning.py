"""Courses, exams, one's own page and appeals: what people do for themselves in the browser."""

from copy import deepcopy
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from crowd.policy import Stage
from tests.browser.conftest import Visit
from tests.browser.house import House
from tests.browser.visitors import Visitor
from tests.scenarios.people import good

TWO_QUESTIONS = pytest.mark.parametrize("house", [{"exam_items": 2, "exam_practice": 2}], indirect=True)


def _known(house: House, stage: Stage, count: int) -> None:
    """So many accepted images as gold."""
    house.gold(stage, *[house.image(None) for _ in range(count)])


def _tab_to(visitor: Visitor, wanted: Locator) -> None:
    """By the Tab key alone."""
    wanted.wait_for()
    for _ in range(60):
        visitor.press("Tab")
        if wanted.evaluate("(node) => node === document.activeElement"):
            return
    raise AssertionError("Tab does not lead there")


def _follow(visitor: Visitor, path: str) -> None:
    _tab_to(visitor, visitor.page.locator(f"main a[href='{path}']").first)
    visitor.press("Enter")


@TWO_QUESTIONS
def test_a_trainee_learns_is_examined_and_proposed_by_keys_alone(visit: Visit, house: House) -> None:
    _known(house, Stage.FIRST_REVIEW, 4)
    trainee = house.person("trainee", "trainee")
    visitor = visit("trainee", "/", language="ko")
    _follow(visitor, "/courses")
    _follow(visitor, "/courses/first_review")
    expect(visitor.page.get_by_text(visitor.word("exam.practise_first", n=2))).to_be_visible()
    expect(visitor.button("exam.begin")).to_have_count(0)
    _follow(visitor, "/courses/first_review/practice")

    visitor.await_task("first_review")
    visitor.press("2", "q", "Enter")
    lesson = visitor.page.locator("[data-right]")
    expect(lesson).to_have_attribute("data-right", "false")
    expect(lesson).to_contain_text(visitor.word("lesson.was_good"))
    visitor.press("Enter")
    visitor.await_task("first_review")
    visitor.press("5", "Enter")
    expect(lesson).to_have_attribute("data-right", "true")
    _follow(visitor, "/courses/first_review")

    _tab_to(visitor, visitor.button("exam.begin"))
    visitor.press("Enter")
    visitor.page.get_by_role("dialog").wait_for()
    visitor.press("Enter")
    for number in (1, 2):
        expect(visitor.page.get_by_text(visitor.word("exam.question", n=number, all=2))).to_be_visible()
        visitor.await_task("first_review")
        visitor.press("5", "Enter")
    expect(visitor.page.locator("[data-passed]")).to_have_attribute("data-passed", "true")

    _follow(visitor, "/me")
    expect(visitor.page.get_by_text(visitor.word("mine_state.open"))).to_be_visible()
    admin = house.bot("admin", "the-admin")
    (proposal,) = admin.read("/tiers/proposals")["items"]
    assert (proposal["worker_id"], proposal["new_grade"]) == (trainee.id, "semi_expert")
    good(admin.post(f"/tiers/proposals/{proposal['id']}/confirm", {"reason": "passed"}))
    visitor.visit("/")
    expect(visitor.page.get_by_role("link", name=visitor.word("home.start"))).to_be_visible()


def test_a_drawing_that_is_practised_survives_a_reload_and_is_laid_beside_the_known_one(
    visit: Visit, house: House
) -> None:
    _known(house, Stage.SEGMENTATION, 2)
    house.person("trainee", "trainee")
    visitor = visit("trainee", "/courses/segmentation/practice")
    task = visitor.await_task("segmentation")
    visitor.press("2", "b")
    visitor.drag((0.4, 0.3), (0.6, 0.6))
    expect(visitor.page.locator(".regions li")).to_have_count(1)
    visitor.page.wait_for_timeout(600)
    visitor.reopen("/courses/segmentation/practice")
    assert visitor.await_task("segmentation") == task
    expect(visitor.page.locator(".regions li")).to_have_count(1)
    visitor.button("work.submit").click()
    expect(visitor.page.locator("[data-right]")).to_have_attribute("data-right", "false")
    outline = visitor.page.locator("path.region").first
    known = outline.get_attribute("d") or ""
    visitor.button("lesson.own").click()
    expect(outline).not_to_have_attribute("d", known)
    expect(visitor.page.locator("path.region")).to_have_count(1)
    visitor.press("x")
    expect(outline).to_have_attribute("d", known)


def test_practice_is_no_work_and_work_is_given_back_for_it(visit: Visit, house: House) -> None:
    _known(house, Stage.SEGMENTATION, 1)
    for _ in range(4):
        house.image()
    house.person("general", "general")
    visitor = visit("general", "/work")
    work = visitor.await_task("segmentation")
    expect(visitor.page.locator("main[data-ahead]")).to_have_attribute("data-ahead", "2")
    visitor.page.get_by_role("link", name=visitor.word("courses.title"), exact=True).click()
    visitor.page.locator("main a[href='/courses/segmentation']").click()
    visitor.page.locator("main a[href='/courses/segmentation/practice']").click()
    practice = visitor.await_task("segmentation")
    assert practice != work
    visitor.page.get_by_role("link", name=visitor.word("home"), exact=True).click()
    visitor.page.get_by_role("link", name=visitor.word("home.start")).click()
    assert visitor.await_task("segmentation") != practice
    held = house.people["general"].read("/me")["leases"]
    assert [lease["task_id"] for lease in held if lease.get("purpose") == "practice"] == [practice]


def test_worked_examples_are_shown_one_after_the_other_and_hold_nothing(visit: Visit, house: House) -> None:
    # One is kept for the exam.
    _known(house, Stage.ATTRIBUTES, 2)
    house.person("trainee", "trainee")
    visitor = visit("trainee", "/courses/attributes/examples")
    expect(visitor.page.get_by_role("heading", name=visitor.word("courses.example"))).to_be_visible()
    expect(visitor.page.locator("path.region").first).to_be_attached()
    visitor.press("Enter")
    expect(visitor.page.get_by_text(visitor.word("course_refused.no_more"))).to_be_visible()
    assert house.people["trainee"].read("/me")["leases"] == []


def test_a_failed_exam_tells_when_the_next_try_is(visit: Visit, house: House) -> None:
    _known(house, Stage.STYLES, 1)
    house.person("trainee", "trainee")
    visitor = visit("trainee", "/courses/styles/exam")
    question = visitor.await_task("styles")
    visitor.reopen("/courses/styles/exam")
    assert visitor.await_task("styles") == question
    visitor.press("n", "q", "Enter")
    expect(visitor.page.locator("[data-passed]")).to_have_attribute("data-passed", "false")
    expect(visitor.page.get_by_text(visitor.word("exam.tries", n=2))).to_be_visible()
    visitor.visit("/courses/styles")
    expect(visitor.page.get_by_text(visitor.word("exam.failed"))).to_be_visible()
    expect(visitor.button("exam.begin")).to_have_count(0)


def test_the_own_page_tells_scores_with_their_bounds_and_notices_until_they_are_read(
    visit: Visit, house: House
) -> None:
    person = house.person("general", "general")
    house.judged(person, Stage.SEGMENTATION, *[1.0] * 44, 0.0)
    known = person.read(f"/workers/{person.id}/quality")["stages"]["segmentation"]
    admin = house.bot("admin", "the-admin")
    assert admin.post("/notices", {"title": "<i>Collars</i>", "text": "section 4"}).status_code == 201
    visitor = visit("general", "/me")
    scores = visitor.page.get_by_role("region", name=visitor.word("mine.scores"))
    for figure in ("score", "lower", "upper"):
        expect(scores).to_contain_text(f"{round(100 * known[figure])}%")
    expect(visitor.page.get_by_role("region", name=visitor.word("mine.evidence"))).to_contain_text(
        visitor.word("mine_kind.review")
    )
    outlook = visitor.page.get_by_role("region", name=visitor.word("mine.next", grade="semi-expert"))
    expect(outlook).to_contain_text(visitor.word("mine.of", n=45, all=40))
    expect(visitor.page.get_by_role("heading", name="<i>Collars</i>")).to_be_visible()
    expect(visitor.page.locator("nav .news")).to_have_count(1)
    visitor.button("mine.read").click()
    expect(visitor.page.locator("nav .news")).to_have_count(0)
    assert person.read("/me")["notices"] == {"unread": 0}


def test_an_answer_that_was_judged_against_is_appealed(visit: Visit, house: House) -> None:
    image = house.image(Stage.ATTRIBUTES)
    tagger = house.person("general", "tagger")
    right = house.right_answer(Stage.ATTRIBUTES, house.seeds[image])
    wrong: Any = deepcopy(right)
    for values in wrong["regions"].values():
        values["color"] = "wine" if values.get("color") != "wine" else "black"
    tagger.do("attributes", wrong)
    styles = house.right_answer(Stage.STYLES, house.seeds[image])
    house.bot("expert", "stylist").do("styles", styles)
    blamed = {"score": 2, "blame": "attributes", "reasons": ["wrong_color"], "comment": ""}
    house.bot("reviewer", "reviewer").do("first_review", blamed)
    tagger.do("attributes", right)
    house.bot("expert", "stylist").do("styles", styles)
    fine: dict[str, Any] = {"score": 5, "blame": None, "reasons": [], "comment": ""}
    house.bot("reviewer", "reviewer").do("first_review", fine)
    for name in ("left", "right"):
        house.bot("inspector", name).do("second_review", fine)
    assert house.seen(image)["state"] == "accepted"

    visitor = visit("tagger", "/me")
    appeals = visitor.page.get_by_role("region", name=visitor.word("appeals.title"))
    appeals.get_by_role("button", name=visitor.word("appeals.make")).click()
    visitor.page.get_by_label(visitor.word("appeals.why")).fill("it <b>was</b> wine")
    visitor.page.get_by_role("dialog").get_by_role("button", name=visitor.word("appeals.send")).click()
    expect(appeals).to_contain_text(visitor.word("appeal_state.open"))
    expect(appeals).to_contain_text("it <b>was</b> wine")
    expect(appeals.get_by_role("button", name=visitor.word("appeals.make"))).to_have_count(0)
    (made,) = tagger.read("/me/appeals")["items"]
    assert (made["stage"], made["state"]) == ("attributes", "open")
