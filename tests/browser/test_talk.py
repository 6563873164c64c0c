"""A labeller and a reviewer talk about an image, each in their own browser."""

from playwright.sync_api import Locator, expect

from crowd.policy import Stage
from tests.browser.conftest import Visit
from tests.browser.house import House
from tests.browser.visitors import Visitor


def _threads(visitor: Visitor) -> Locator:
    return visitor.page.get_by_role("region", name=visitor.word("talk.threads"))


def test_a_reviewer_asks_on_the_labellers_task_and_both_read_the_answer(visit: Visit, house: House) -> None:
    image = house.image()
    labeller = house.person("general", "the-segmentation-1")
    drawing = labeller.claim()
    labeller.submit(drawing, house.right_answer(Stage.SEGMENTATION, house.seeds[image]))
    labeller.post(f"/tasks/{drawing['id']}/comments", {"text": "the hem was hard to see"})
    for stage, grade in ((Stage.ATTRIBUTES, "general"), (Stage.STYLES, "expert")):
        house.bot(grade, f"the-{stage}-1").do(stage, house.right_answer(stage, house.seeds[image]))
    house.person("reviewer", "reviewer")

    reviewer = visit("reviewer", "/work")
    reviewer.await_task("first_review")
    reviewer.press("Shift+T")
    talk = reviewer.page.get_by_role("dialog")
    expect(talk.get_by_text("the hem was hard to see")).to_be_visible()
    talk.get_by_label(reviewer.word("talk.about")).select_option("segmentation")
    talk.get_by_label(reviewer.word("talk.say")).fill("<b>look</b> again")
    talk.get_by_role("button", name=reviewer.word("talk.send")).click()
    expect(talk.get_by_text("<b>look</b> again")).to_be_visible()

    drawer = visit("the-segmentation-1", "/me")
    threads = _threads(drawer)
    expect(threads.get_by_text("<b>look</b> again")).to_be_visible()
    expect(threads.get_by_text(drawer.word("talk.new", n=1))).to_be_visible()
    threads.get_by_role("button", name=drawer.word("talk.open")).click()
    answer = drawer.page.get_by_role("dialog")
    expect(answer.get_by_text("the hem was hard to see")).to_be_visible()
    answer.get_by_label(drawer.word("talk.say")).fill("it is lower")
    answer.get_by_role("button", name=drawer.word("talk.send")).click()
    expect(answer.get_by_text("it is lower")).to_be_visible()
    drawer.reopen("/me")
    expect(_threads(drawer).get_by_text("<b>look</b> again")).to_be_visible()
    expect(_threads(drawer).get_by_text(drawer.word("talk.new", n=1))).to_have_count(0)

    house.person("admin", "boss")
    boss = visit("boss", f"/admin/images/{image}")
    for text in ("the hem was hard to see", "<b>look</b> again", "it is lower"):
        expect(boss.page.get_by_text(text)).to_be_visible()
    expect(boss.page.get_by_text("the-segmentation-1").first).to_be_visible()
