"""What admins do about people, gold and assigned work in the browser, by mouse and by keys alone."""

import pytest
from playwright.sync_api import Locator, expect

from crowd.images.models import ImageState
from crowd.policy import Stage
from crowd.steering import telling
from tests.browser.conftest import Visit
from tests.browser.house import House
from tests.browser.steered import promising, suspected
from tests.browser.visitors import Visitor


@pytest.fixture
def admin(visit: Visit, house: House) -> Visitor:
    """An admin who has just come in."""
    house.person("admin", "admin")
    return visit("admin", "/me")


def _tab_to(visitor: Visitor, wanted: Locator, presses: int = 60) -> None:
    """Go there with the Tab key, as somebody without a mouse."""
    expect(wanted).to_be_visible()
    for _ in range(presses):
        visitor.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError("no Tab leads there")


def _grade_of(house: House, name: str) -> str:
    grade: str = house.people["admin"].read(f"/workers/{house.people[name].id}")["grade"]
    return grade


def test_a_promotion_is_confirmed_by_mouse_with_its_evidence_before_ones_eyes(
    admin: Visitor, house: House
) -> None:
    promising(house, "promising")
    admin.visit("/admin/proposals")
    card = admin.page.locator("[data-proposal]")
    expect(card).to_contain_text(admin.word("score.n", n=60))
    expect(card).to_contain_text(admin.word("grade.semi_expert"))
    card.get_by_role("button", name=admin.word("confirm")).click()
    dialog = admin.page.get_by_role("dialog")
    dialog.get_by_role("button", name=admin.word("confirm"), exact=True).click()
    expect(admin.page.get_by_text(admin.word("proposals.none"))).to_be_visible()
    assert _grade_of(house, "promising") == "semi_expert"
    admin.page.locator("select").select_option("confirmed")
    admin.page.get_by_role("link", name="promising").click()
    expect(admin.page.get_by_role("cell", name="bounds-1")).to_be_visible()


def test_a_promotion_is_confirmed_by_keys_alone_in_korean(visit: Visit, house: House) -> None:
    house.person("admin", "admin")
    promising(house, "promising")
    admin = visit("admin", "/admin", language="ko")
    _tab_to(admin, admin.page.get_by_role("link", name=admin.word("admin.people"), exact=True))
    admin.press("Enter")
    _tab_to(admin, admin.page.get_by_role("link", name=admin.word("proposals.title")))
    admin.press("Enter")
    _tab_to(admin, admin.button("confirm"))
    admin.press("Enter")
    expect(admin.page.get_by_role("dialog").get_by_role("textbox")).to_be_focused()
    admin.page.keyboard.type("ten good weeks")
    admin.press("Enter")
    expect(admin.page.get_by_text(admin.word("proposals.none"))).to_be_visible()
    assert _grade_of(house, "promising") == "semi_expert"


def test_a_proposal_is_not_dismissed_without_a_reason(admin: Visitor, house: House) -> None:
    promising(house, "promising")
    admin.visit("/admin/proposals")
    admin.button("dismiss").click()
    admin.press("Enter")
    expect(admin.page.get_by_role("dialog")).to_be_visible()
    admin.page.keyboard.type("too few kinds of images")
    admin.press("Enter")
    expect(admin.page.get_by_text(admin.word("proposals.none"))).to_be_visible()
    [dismissed] = house.people["admin"].read("/tiers/proposals?state=dismissed")["items"]
    assert dismissed["reason"] == "too few kinds of images"
    assert _grade_of(house, "promising") == "general"


def test_a_flag_is_dismissed_with_a_reason(admin: Visitor, house: House) -> None:
    flag = suspected(house, "suspected")
    admin.visit("/admin/flags")
    card = admin.page.locator(f'[data-flag="{flag}"]')
    expect(card).to_contain_text("jeans")
    card.get_by_role("button", name=admin.word("dismiss")).click()
    admin.page.keyboard.type("a series of jeans")
    admin.press("Enter")
    expect(admin.page.get_by_text(admin.word("flags.none"))).to_be_visible()
    whole = house.people["admin"].read(f"/tiers/flags/{flag}")
    assert (whole["state"], whole["reason"]) == ("dismissed", "a series of jeans")
    person = house.people["admin"].read(f"/workers/{house.people['suspected'].id}")
    assert person["suspended"] is False


def test_a_confirmed_persons_work_is_looked_over_and_done_again(admin: Visitor, house: House) -> None:
    suspected(house, "suspected")
    bad = house.people["suspected"]
    image = house.image(Stage.SEGMENTATION)
    bad.submit(bad.claim("segmentation"), house.right_answer(Stage.SEGMENTATION, house.seeds[image]))
    admin.visit("/admin/flags/1")
    admin.button("confirm").click()
    admin.page.keyboard.type("all jeans")
    admin.press("Enter")
    expect(admin.page.get_by_role("dialog")).to_have_count(0)
    reason = admin.page.get_by_label(admin.word("people.reason"))
    reason.fill("confirmed flag")
    admin.button("redo.preview").click()
    preview = admin.page.locator("[data-preview]")
    expect(preview).to_contain_text(admin.word("redo.would", answers=1, images=1))
    expect(preview).to_contain_text(admin.word("stage.segmentation"))
    assert house.people["admin"].read("/redos")["items"] == []
    admin.page.get_by_role("button", name=admin.word("redo.start", n=1)).click()
    expect(admin.page.get_by_role("progressbar")).to_be_visible()
    [ordered] = house.people["admin"].read("/redos")["items"]
    assert (ordered["worker_id"], ordered["answers"]) == (bad.id, 1)


def test_gold_is_made_planted_retired_and_found_wrong(admin: Visitor, house: House) -> None:
    image = house.image(None)
    admin.visit("/admin/gold")
    for stages, fault in ((["segmentation"], None), (["first_review"], "styles")):
        admin.page.get_by_label(admin.word("gold.image")).fill(str(image))
        for stage in stages:
            admin.page.get_by_role("checkbox", name=admin.word(f"stage.{stage}")).check()
        if fault:
            admin.page.get_by_label(admin.word("gold.fault")).select_option(fault)
        admin.page.get_by_label(admin.word("people.reason")).fill("clear in every detail")
        admin.press("Enter")
        expect(admin.page.get_by_text(admin.word("gold.added", n=1, image=image))).to_be_visible()
    made = house.people["admin"].read("/gold")["items"]
    assert [(each["stage"], each["origin"]) for each in made] == [
        ("segmentation", "admin"),
        ("first_review", "planted"),
    ]
    row = admin.page.locator(f'[data-gold="{made[0]["id"]}"]')
    row.get_by_role("button").click()
    admin.page.keyboard.type("everybody knows it")
    admin.press("Enter")
    expect(row).to_have_count(0)
    assert house.people["admin"].read(f"/gold/{made[0]['id']}")["active"] is False
    admin.visit(f"/admin/gold/{made[0]['id']}")
    expect(admin.page.get_by_text("everybody knows it")).to_be_visible()
    admin.button("gold.reactivate").click()
    admin.page.keyboard.type("new people came")
    admin.press("Enter")
    expect(admin.button("gold.retire")).to_be_visible()
    admin.button("gold.void").click()
    admin.page.keyboard.type("a sleeve is left out")
    admin.press("Enter")
    expect(admin.page.get_by_text(admin.word("gold_step.voided"))).to_be_visible()
    expect(admin.button("gold.reactivate")).to_be_visible()


def test_tasks_are_assigned_to_a_person_and_taken_back(admin: Visitor, house: House) -> None:
    house.image(Stage.SEGMENTATION)
    chosen, other = house.person("general", "chosen"), house.person("general", "other")
    admin.visit("/admin/assignments")
    admin.page.get_by_label(admin.word("assign.whom")).select_option(f"worker:{chosen.id}")
    admin.page.get_by_label(admin.word("assign.count")).fill("1")
    admin.page.locator("form").get_by_role("button", name=admin.word("assign.make")).click()
    row = admin.page.locator("[data-assignment]")
    expect(row).to_contain_text(admin.word("assign.of", done=0, taken=1, waiting=1, leased=0))
    assert other.ask().status_code == 204
    row.get_by_role("button", name=admin.word("assign.end")).click()
    admin.page.keyboard.type("the course was moved")
    admin.press("Enter")
    expect(admin.page.get_by_text(admin.word("assign.none"))).to_be_visible()
    [ended] = house.people["admin"].read("/assignments")["items"]
    assert ended["end_reason"] == "the course was moved"


def test_a_group_is_made_and_told_something_by_keys_alone(admin: Visitor, house: House) -> None:
    house.person("general", "pupil")
    admin.visit("/admin/groups")
    admin.page.get_by_label(admin.word("groups.name")).focus()
    admin.page.keyboard.type("Hill School")
    admin.press("Enter")
    link = admin.page.get_by_role("link", name="Hill School")
    _tab_to(admin, link)
    admin.press("Enter")
    people = admin.page.get_by_role("listbox")
    expect(people.get_by_role("option", name="pupil")).to_be_attached()
    _tab_to(admin, people)
    admin.page.keyboard.type("pupil")
    _tab_to(admin, admin.page.get_by_role("button", name=admin.word("groups.take", n=1)))
    admin.press("Enter")
    expect(admin.page.get_by_role("row").filter(has_text="pupil")).to_be_visible()
    admin.visit("/admin/notices")
    admin.page.get_by_label(admin.word("notices.heading")).fill("Collars")
    admin.page.get_by_label(admin.word("notices.text")).fill("They belong to the top.")
    group = admin.page.get_by_label(admin.word("groups.one"))
    group.select_option(label="Hill School")
    _tab_to(admin, admin.button("notices.send"))
    admin.press("Enter")
    expect(admin.page.locator("[data-notice]")).to_contain_text("Hill School")
    assert house.people["pupil"].read("/me")["notices"]["unread"] == 1


def test_a_plan_is_set_and_held_against_what_was_done(admin: Visitor, house: House) -> None:
    house.image(Stage.ATTRIBUTES)
    telling.tell(house.rt.db)
    admin.visit("/admin/plans")
    admin.page.get_by_label(admin.word("plans.volume")).fill("40")
    admin.press("Enter")
    row = admin.page.locator('[data-plan="segmentation"]')
    expect(row).to_contain_text("1")
    expect(row.get_by_role("link")).to_contain_text("40")
    row.get_by_role("link").click()
    expect(admin.page.locator("ul.images li")).to_have_count(1)


def test_a_bar_leads_to_the_images_behind_it(admin: Visitor, house: House) -> None:
    accepted = house.image(None)
    waiting = house.image(Stage.STYLES)
    telling.tell(house.rt.db)
    style = house.right_answer(Stage.STYLES, house.seeds[accepted])["styles"][0]
    name = next(each.en for each in house.rt.taxonomy.styles if each.key == style)
    admin.visit("/admin")
    bars = admin.page.get_by_role("list", name=admin.word("plot.styles"))
    bars.get_by_role("link").filter(has_text=name).click()
    expect(admin.page.locator("ul.images li strong")).to_have_text([str(accepted)])
    assert house.seen(accepted)["state"] == ImageState.ACCEPTED
    admin.page.go_back()
    oldest = admin.page.get_by_role("list", name=admin.word("plot.oldest"))
    oldest.get_by_role("link").filter(has_text=admin.word("stage.styles")).click()
    expect(admin.page.locator("ul.images li strong")).to_have_text([str(waiting)])
    admin.page.reload()
    expect(admin.page.locator("ul.images li strong")).to_have_text([str(waiting)])
