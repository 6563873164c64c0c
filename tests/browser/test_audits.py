"""The final audit in the browser: drawn, judged, in the way of a release, sent back; auditors sign."""

import pytest
from playwright.sync_api import expect

from crowd.audits import seats
from crowd.audits.sendback import run_returns
from crowd.policy import Stage
from tests.browser.audited import draw, fail, nobody_may
from tests.browser.conftest import Visit
from tests.browser.house import House
from tests.browser.visitors import Visitor

ROUGH = (("audits.tolerable", "30"), ("audits.confidence", "90"), ("audits.allowed", "0"))


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "LOOK_SECONDS", 0.0)


@pytest.fixture
def images(house: House) -> list[int]:
    """Two accepted images, and who had no part in them."""
    house.person("admin", "admin")
    house.person("expert", "judge")
    return [house.image(None) for _ in range(2)]


def _standing(house: House) -> tuple[str, int, int]:
    found = house.bot("admin", "the-admin").read("/audits/1")
    return found["verdict"], found["judged"], found["wrong"]


def _went_back(house: House, images: list[int]) -> None:
    """What the audit found wrong is at its stage again, the rest at its second review; nothing is blocked."""
    assert run_returns(house.rt.db) == 2
    stages = house.bot("admin", "the-admin").read("/stats/progress")["stages"]
    assert (stages["styles"]["ready"], stages["second_review"]["ready"]) == (1, 2)
    assert {house.seen(image)["state"] for image in images} == {"in_work"}
    assert not house.bot("admin", "the-admin").read("/audits/1")["blocks_releases"]


def test_an_audit_is_drawn_judged_and_sent_back_by_mouse(
    visit: Visit, house: House, images: list[int]
) -> None:
    admin = visit("admin", "/admin/audits")
    for label, value in ROUGH:
        admin.page.get_by_label(admin.word(label)).fill(value)
    admin.button("audits.preview").click()
    expect(admin.page.locator("[data-preview]")).to_contain_text(
        admin.word("audits.would", size=2, lot=2, allowed=0)
    )
    draws = admin.page.get_by_role("button", name=admin.word("audits.draw_n", n=2))
    expect(draws).to_be_disabled()
    admin.page.get_by_label(admin.word("people.reason")).fill("before spring")
    draws.click()
    expect(admin.page.locator("[data-judged='0']")).to_be_visible()

    judge = visit("judge", "/work")
    judge.await_task("second_review")
    expect(judge.bench).to_contain_text(judge.word("judge.title"))
    submit = judge.button("work.submit")
    for mark in ("segmentation-right", "attributes-right", "styles-wrong"):
        expect(submit).to_be_disabled()
        judge.page.locator(f"[data-mark={mark}]").click()
    expect(submit).to_be_disabled()
    judge.page.locator("[data-reason]").first.click()
    judge.page.get_by_label(judge.word("comment")).fill("not resort")
    submit.click()
    judge.await_done(1)
    judge.button("judge.keys.all").click()
    judge.button("work.submit").click()
    judge.await_done(2)
    assert _standing(house) == ("failed", 2, 1)

    admin.visit("/admin/releases")
    admin.page.get_by_label(admin.word("releases.name")).fill("spring")
    admin.button("releases.create").click()
    expect(admin.page.get_by_role("alert")).to_contain_text("Audit 1")
    admin.page.get_by_role("link", name=admin.word("audits.title"), exact=True).click()
    admin.page.locator("[data-audit='1'] a").click()
    expect(admin.page.locator("[data-blocks]")).to_be_visible()
    admin.page.locator("[data-rates]").get_by_role("link", name=admin.word("stage.styles")).click()
    expect(admin.page.locator("[data-image]")).to_have_count(1)
    expect(admin.page.locator("[data-image]")).to_contain_text("not resort")
    admin.page.get_by_role("link", name=admin.word("audits.back_to_audit", id=1)).click()

    admin.button("audits.back_preview").click()
    expect(admin.page.locator("[data-preview]")).to_contain_text(admin.word("stage.styles"))
    admin.page.get_by_role("button", name=admin.word("audits.back_n", n=2)).click()
    admin.page.keyboard.type("too many wrong")
    assert house.bot("admin", "the-admin").read("/audits/1")["sent_back"] == []
    admin.page.get_by_role("dialog").get_by_role("button", name=admin.word("audits.back_yes")).click()
    expect(admin.page.locator("[data-return]")).to_contain_text("too many wrong")
    _went_back(house, images)
    admin.visit("/admin/audits/1")
    expect(admin.page.locator("[data-return]")).to_contain_text(admin.word("job.done"))
    expect(admin.page.locator("[data-blocks]")).to_have_count(0)


def test_the_same_by_keys_alone_in_korean(visit: Visit, house: House, images: list[int]) -> None:
    admin = visit("admin", "/admin/audits", language="ko")
    for label, value in (*ROUGH, ("people.reason", "before spring")):
        admin.tab_to(admin.page.get_by_label(admin.word(label)))
        admin.page.keyboard.type(value)
    admin.press("Enter")
    admin.tab_to(admin.page.get_by_role("button", name=admin.word("audits.draw_n", n=2)))
    admin.press("Enter")
    expect(admin.page.locator("[data-judged='0']")).to_be_visible()

    judge = visit("judge", "/work", language="ko")
    judge.await_task("second_review")
    judge.press("1", "2", "Shift+3", "q", "Enter")
    judge.await_done(1)
    judge.await_task("second_review")
    judge.press("0", "Enter")
    judge.await_done(2)
    assert _standing(house) == ("failed", 2, 1)

    admin.visit("/admin/releases")
    admin.tab_to(admin.page.get_by_label(admin.word("releases.name")))
    admin.page.keyboard.type("spring")
    admin.press("Enter")
    expect(admin.page.get_by_role("alert")).to_contain_text("감사를 통과하지 못했습니다")
    admin.tab_to(admin.page.get_by_role("link", name=admin.word("audits.title"), exact=True))
    admin.press("Enter")
    admin.tab_to(admin.page.locator("[data-audit='1'] a"))
    admin.press("Enter")
    admin.tab_to(admin.button("audits.back_preview"))
    admin.press("Enter")
    admin.tab_to(admin.page.get_by_role("button", name=admin.word("audits.back_n", n=2)))
    admin.press("Enter")
    expect(admin.page.get_by_role("dialog").get_by_role("textbox")).to_be_focused()
    admin.page.keyboard.type("too many wrong")
    admin.press("Enter")
    expect(admin.page.locator("[data-return]")).to_contain_text("too many wrong")
    _went_back(house, images)


def test_an_auditor_is_let_in_looks_at_everything_and_signs_once(
    visit: Visit, house: House, images: list[int]
) -> None:
    draw(house)
    fail(house)
    admin = visit("admin", "/admin/audits")
    admin.page.get_by_label(admin.word("login.name")).fill("outsider")
    admin.button("auditors.add").click()
    password = admin.page.locator(".secrets code").first.inner_text()

    auditor = visit(language="ko")
    auditor.page.get_by_label(auditor.word("login.name")).fill("outsider")
    auditor.page.get_by_label(auditor.word("login.password")).fill(password)
    auditor.press("Enter")
    auditor.page.locator("[data-audit='1'] a").click()
    signs = auditor.page.locator("[data-signatures]")
    signs.get_by_role("radio", name=auditor.word("opinion.rejected"), exact=True).check()
    auditor.button("sign.sign").click()
    expect(signs.get_by_role("textbox")).to_be_focused()
    auditor.page.keyboard.type("the styles do not hold")
    auditor.button("sign.sign").click()
    expect(signs).to_contain_text(auditor.word("sign.done"))
    expect(auditor.button("sign.sign")).to_have_count(0)
    [signed] = house.bot("admin", "the-admin").read("/audits/1")["signatures"]
    assert (signed["who"], signed["verdict"], signed["comment"]) == (
        "outsider",
        "rejected",
        "the styles do not hold",
    )
    _looks_around(auditor, images)
    admin.visit("/admin/audits/1")
    expect(admin.page.locator("[data-signatures]")).to_contain_text("the styles do not hold")


def _looks_around(auditor: Visitor, images: list[int]) -> None:
    """An auditor reads it all, and finds nothing that changes anything."""
    there = {
        "/admin": "admin.dashboard",
        f"/admin/images/{images[0]}": "images.history",
        "/admin/releases": "admin.releases",
        "/admin/guidelines": "guidelines.preview",
        "/admin/audits/1/images": "audits.images",
    }
    for path, heading in there.items():
        auditor.visit(path)
        expect(auditor.page.get_by_role("heading", name=auditor.word(heading))).to_be_visible()
        auditor.page.wait_for_load_state("networkidle")
        expect(auditor.page.get_by_role("alert")).to_have_count(0)
        expect(auditor.page.locator("main form[class*=stack], main button.main")).to_have_count(0)
    auditor.visit("/admin/people")
    expect(auditor.page.get_by_role("heading", name=auditor.word("lost_page"))).to_be_visible()


def test_an_audit_that_nobody_can_finish_is_told_and_given_up(
    visit: Visit, house: House, images: list[int]
) -> None:
    nobody_may(house, draw(house))
    admin = visit("admin", "/admin")
    admin.page.get_by_role("link", name=admin.word("audits.trouble", id=1, n=2)).click()
    blocked = admin.page.locator("[data-blocked]")
    expect(blocked).to_contain_text(admin.word("audits.blocked", n=2))
    expect(blocked).to_contain_text(admin.word("grade.inspector"))
    admin.button("audits.redraw").click()
    admin.page.keyboard.type("no expert for a month")
    admin.press("Enter")
    # There is nothing else in the lot.
    expect(admin.page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    admin.press("Escape")
    admin.button("audits.drop").click()
    admin.page.keyboard.type("nobody can judge it")
    admin.press("Enter")
    expect(blocked).to_have_count(0)
    assert _standing(house) == ("dropped", 0, 0)
    assert house.bot("admin", "the-admin").post("/releases", {"name": "spring"}).status_code == 201


def test_the_stage_is_blamed_that_everything_after_was_built_on(
    visit: Visit, house: House, images: list[int]
) -> None:
    draw(house)
    judge = visit("judge", "/work")
    judge.await_task("second_review")
    judge.press("Shift+2", "Shift+3", "1", "q", "Enter")
    judge.await_done(1)
    judged = house.bot("admin", "the-admin").read("/audits/1/images?wrong=true")["items"]
    assert [(each["blame"], each["score"]) for each in judged] == [(Stage.ATTRIBUTES, 2)]
