"""Each role's work from beginning to end, by mouse and by keys alone, in both languages."""

import pytest
from playwright.sync_api import expect

from crowd.policy import Stage
from crowd.tasks.answer_queries import unusable_codes
from tests.browser.conftest import Visit
from tests.browser.house import House
from tests.browser.visitors import Visitor

WAYS = ("mouse", "keys")


def _draw(visitor: Visitor, way: str) -> None:
    """A triangle around what is worn on top."""
    if way == "mouse":
        visitor.button("keys.polygon").click()
        for spot in ((0.45, 0.2), (0.55, 0.2), (0.5, 0.4), (0.45, 0.2)):
            visitor.click_at(*spot)
        visitor.page.get_by_role("group").get_by_role("button").filter(has_text="2").first.click()
        return
    visitor.press(
        "2", "p", "Space", *["Shift+ArrowRight"] * 2, "Space", *["Shift+ArrowDown"] * 3, "Space", "Enter"
    )


def _submit(visitor: Visitor, way: str) -> None:
    if way == "mouse":
        visitor.button("work.submit").click()
    else:
        visitor.press("Control+Enter")


def _is_good(visitor: Visitor, way: str) -> None:
    if way == "mouse":
        visitor.button("precheck.good").click()
    else:
        visitor.press("Enter")


def _attributes(visitor: Visitor, way: str) -> None:
    """The first value of the first three groups."""
    for _ in range(3):
        if way == "mouse":
            visitor.page.locator(".group.open .option").first.click()
        else:
            visitor.press("1")


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("way", WAYS)
def test_an_image_goes_from_drawing_to_acceptance(
    visit: Visit, house: House, way: str, language: str
) -> None:
    image = house.image()
    for grade in ("general", "expert", "reviewer", "inspector"):
        house.person(grade, grade)
    house.person("general", "tagger")
    house.person("inspector", "other")

    drawer = visit("general", "/work/segmentation", language=language)
    drawer.await_task("segmentation")
    _draw(drawer, way)
    expect(drawer.page.locator(".regions li")).to_have_count(1)
    _submit(drawer, way)
    drawer.await_done(1)

    tagger = visit("tagger", "/work/attributes", language=language)
    tagger.await_task("attributes")
    _is_good(tagger, way)
    _attributes(tagger, way)
    _submit(tagger, way)
    tagger.await_done(1)

    stylist = visit("expert", "/work", language=language)
    stylist.await_task("styles")
    _is_good(stylist, way)
    if way == "mouse":
        stylist.page.locator("[data-style=resort]").click()
    else:
        stylist.press("/")
        stylist.page.keyboard.type("resort")
        stylist.press("Enter")
    _submit(stylist, way)
    stylist.await_done(1)

    reviewer = visit("reviewer", "/work", language=language)
    reviewer.await_task("first_review")
    _score(reviewer, way, 5)
    _submit(reviewer, way)
    reviewer.await_done(1)

    inspectors = [visit(name, "/work", language=language) for name in ("inspector", "other")]
    tasks = {inspector.await_task("second_review") for inspector in inspectors}
    assert len(tasks) == 2, "both hold the same seat"
    for inspector in inspectors:
        _score(inspector, way, 4)
        _submit(inspector, way)
        inspector.await_done(1)

    seen = house.seen(image)
    assert seen["state"] == "accepted"
    (region,) = seen["labels"]["segmentation"]["regions"]
    assert region["part"] == "top"
    assert len(region["rings"][0]) == 3
    assert seen["labels"]["attributes"]["regions"][region["id"]]["category"]
    assert seen["labels"]["styles"]["styles"] == ["resort"]


def _score(visitor: Visitor, way: str, score: int) -> None:
    if way == "mouse":
        visitor.page.locator(f".scores .s{score}").click()
    else:
        visitor.press(str(score))


@pytest.mark.parametrize("way", WAYS)
def test_a_rejected_image_comes_back_with_its_reasons(visit: Visit, house: House, way: str) -> None:
    house.image(Stage.FIRST_REVIEW)
    house.person("reviewer", "reviewer")
    reviewer = visit("reviewer", "/work")
    reviewer.await_task("first_review")
    _score(reviewer, way, 1)
    expect(reviewer.button("work.submit")).to_be_disabled()
    if way == "mouse":
        reviewer.page.locator("[data-reason=bad_outline]").click()
    else:
        reviewer.press("r")
    reviewer.page.get_by_label(reviewer.word("comment")).fill("<b>소매</b> is cut")
    _submit(reviewer, way)
    reviewer.await_done(1)

    task = house.people["the-segmentation-1"].claim()
    assert task["stage"] == "segmentation"
    (feedback,) = task["feedback"]
    wanted = {"score": 1, "reasons": ["bad_outline"], "comment": "<b>소매</b> is cut"}
    assert {name: feedback[name] for name in wanted} == wanted


@pytest.mark.parametrize("way", WAYS)
def test_the_precheck_sends_work_back_and_its_author_reads_why(visit: Visit, house: House, way: str) -> None:
    house.person("general", "drawer")
    house.image()
    task = house.people["drawer"].claim()
    house.people["drawer"].submit(task, house.right_answer(Stage.SEGMENTATION, 1))
    house.person("general", "tagger")
    tagger = visit("tagger", "/work", language="ko")
    tagger.await_task("attributes")
    if way == "mouse":
        tagger.button("precheck.bad").click()
        tagger.page.get_by_role("dialog").get_by_role("button", name="외곽선").click()
        tagger.page.get_by_role("dialog").get_by_role(
            "button", name=tagger.word("sendback.send")
        ).last.click()
    else:
        tagger.press("n", "r", "Enter")
    tagger.await_done(1)

    drawer = visit("drawer", "/work", language="ko")
    drawer.await_task("segmentation")
    expect(drawer.page.get_by_role("region", name=drawer.word("feedback.title"))).to_contain_text(
        "외곽선 부정확"
    )
    expect(drawer.page.locator(".regions li").first).to_be_visible()


def test_two_inspectors_who_differ_are_settled_by_a_third(visit: Visit, house: House) -> None:
    image = house.image(Stage.SECOND_REVIEW)
    for name in ("one", "two", "third"):
        house.person("inspector", name)
    for name, keys in (("one", ["5"]), ("two", ["2", "q"])):
        inspector = visit(name, "/work")
        inspector.await_task("second_review")
        inspector.press(*keys, "Enter")
        inspector.await_done(1)
    third = visit("third", "/work")
    third.await_task("adjudication")
    expect(third.page.get_by_text(third.word("adjudicate.split"))).to_be_visible()
    expect(third.page.get_by_role("region", name=third.word("feedback.title"))).to_have_count(0)
    third.press("4", "Enter")
    third.await_done(1)
    assert house.seen(image)["state"] == "accepted"


@pytest.mark.parametrize("language", ["en", "ko"])
def test_what_came_back_too_often_is_settled_with_its_reasons_shown(
    visit: Visit, house: House, language: str
) -> None:
    image = house.image(Stage.FIRST_REVIEW)
    for time in (1, 2, 3):
        comment = f"not street, for the time {time}"
        rejected = {"score": 3, "blame": "styles", "reasons": ["wrong_style"], "comment": comment}
        house.bot("reviewer", "the-first_review-1").do("first_review", rejected)
        if time < 3:
            house.people["the-styles-1"].do("styles", house.right_answer(Stage.STYLES, 1))
    house.person("inspector", "judge")
    judge = visit("judge", "/work", language=language)
    judge.await_task("adjudication")
    told = judge.word("adjudicate.loop", stage=judge.word("stage.styles"))
    expect(judge.page.get_by_text(told)).to_be_visible()
    reasons = judge.page.get_by_role("region", name=judge.word("feedback.title"))
    for time in (1, 2, 3):
        expect(reasons).to_contain_text(f"for the time {time}")
    judge.press("4", "Enter")
    judge.await_done(1)
    events = [event["what"] for event in house.seen(image)["history"]]
    assert "upheld" in events
    # The labels stand, so the stage after the disputed one is next.
    assert house.bot("reviewer", "another").claim("first_review")["image"]["id"] == image


def test_experts_who_cannot_agree_are_settled_by_a_choice_of_styles(visit: Visit, house: House) -> None:
    house.image(Stage.STYLES)
    for number, style in enumerate(("resort", "modern", "street", "classic", "punk")):
        house.bot("expert", f"expert-{number}").do("styles", {"styles": [style], "unsure": True})
    house.person("inspector", "judge")
    judge = visit("judge", "/work")
    judge.await_task("adjudication")
    expect(judge.page.get_by_text(judge.word("styles.settle"))).to_be_visible()
    judge.page.locator("[data-style=country]").click()
    judge.press("Enter")
    judge.await_done(1)
    assert house.seen(1)["labels"]["styles"]["styles"] == ["country"]


def test_an_image_that_cannot_be_labelled_is_called_unusable_with_two_keys(
    visit: Visit, house: House
) -> None:
    image = house.image()
    house.person("general", "general")
    visitor = visit("general", "/work")
    visitor.await_task("segmentation")
    visitor.press("Shift+U", "3")
    visitor.await_done(1)
    with house.rt.db.begin() as conn:
        assert unusable_codes(conn, image) == ["watermark"]


def test_a_good_proposal_is_taken_with_one_key_and_submitted_with_a_second(
    visit: Visit, house: House
) -> None:
    house.proposing = True
    image = house.image()
    house.person("general", "general")
    visitor = visit("general", "/work")
    visitor.await_task("segmentation")
    visitor.press("a", "Enter")
    visitor.await_done(1)
    drawn = house.right_answer(Stage.SEGMENTATION, 1)["regions"]
    kept = house.seen(image)["labels"]["segmentation"]["regions"]
    assert [region["part"] for region in kept] == [region["part"] for region in drawn]
