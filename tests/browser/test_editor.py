"""The editor of outlines: every tool, under a Korean input method, and what it refuses."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.house import House
from tests.browser.visitors import Visitor


@pytest.fixture
def editor(visit: Visit, house: House) -> Visitor:
    """Somebody with a segmentation before them."""
    house.image()
    house.person("general", "general")
    visitor = visit("general", "/work")
    visitor.await_task("segmentation")
    return visitor


def _path(visitor: Visitor) -> str:
    return visitor.page.locator("path.region").first.get_attribute("d") or ""


def _corners(visitor: Visitor) -> int:
    return visitor.page.locator("circle.corner").count()


def _box(visitor: Visitor) -> None:
    visitor.press("b")
    visitor.drag((0.4, 0.3), (0.6, 0.6))


def test_a_box_is_edited_corner_by_corner_undone_and_done_again(editor: Visitor) -> None:
    _box(editor)
    assert _corners(editor) == 4
    before = _path(editor)
    editor.drag((0.4, 0.3), (0.36, 0.25))
    dragged = _path(editor)
    assert dragged != before
    editor.drag((0.5, 0.6), (0.5, 0.66))
    assert _corners(editor) == 5, "dragging an edge gives it a corner"
    editor.press("Delete")
    assert _corners(editor) == 4
    editor.press("Control+z", "Control+z")
    assert _path(editor) == dragged
    editor.press("Control+z")
    assert _path(editor) == before
    editor.press("Control+Shift+z")
    assert _path(editor) == dragged


def test_one_garment_takes_several_rings(editor: Visitor) -> None:
    _box(editor)
    editor.press("r")
    for spot in ((0.42, 0.7), (0.58, 0.7), (0.5, 0.85)):
        editor.click_at(*spot)
    editor.press("Enter")
    expect(editor.page.locator(".regions li")).to_have_count(1)
    assert _path(editor).count("M") == 2


def test_an_outline_that_crosses_itself_cannot_be_submitted(editor: Visitor) -> None:
    editor.press("p")
    for spot in ((0.4, 0.3), (0.6, 0.6), (0.6, 0.3), (0.4, 0.6)):
        editor.click_at(*spot)
    editor.press("Enter")
    expect(editor.button("work.submit")).to_be_disabled()
    expect(editor.page.get_by_text(re.compile("crosses itself"))).to_be_visible()
    editor.press("Control+z")
    expect(editor.page.locator(".regions li button")).to_have_count(0)


def test_a_corner_snaps_to_a_neighbours_border(editor: Visitor) -> None:
    _box(editor)
    editor.press("b")
    editor.drag((0.603, 0.3), (0.7, 0.6))
    paths = [path.get_attribute("d") or "" for path in editor.page.locator("path.region").all()]
    first = set(re.findall(r"[ML]([\d.]+) ", paths[0]))
    editor.press("Escape")
    editor.click_at(0.65, 0.45)
    editor.drag((0.603, 0.3), (0.602, 0.302))
    moved = editor.page.locator("path.region").nth(1).get_attribute("d") or ""
    assert first & set(re.findall(r"[ML]([\d.]+) ", moved)), "no corner lies on the neighbour's border"


def test_keys_work_while_a_korean_input_method_is_on(editor: Visitor) -> None:
    for code, key in (("KeyB", "ㅠ"), ("KeyP", "ㅔ"), ("KeyV", "Process")):
        editor.page.evaluate(
            "([code, key]) => window.dispatchEvent(new KeyboardEvent('keydown', {code, key, bubbles: true}))",
            [code, key],
        )
        name = {"KeyB": "keys.box", "KeyP": "keys.polygon", "KeyV": "keys.select"}[code]
        expect(editor.button(name)).to_have_attribute("aria-pressed", "true")


def test_composing_hangul_in_a_comment_triggers_no_key(editor: Visitor, house: House) -> None:
    editor.press("Shift+T")
    box = editor.page.get_by_label(editor.word("talk.say"))
    box.focus()
    session = editor.context.new_cdp_session(editor.page)
    for text in ("ㅂ", "바", "밥"):
        session.send("Input.imeSetComposition", {"text": text, "selectionStart": 1, "selectionEnd": 1})
    session.send("Input.insertText", {"text": "밥"})
    expect(box).to_have_value("밥")
    editor.button("talk.send").click()
    expect(editor.page.get_by_role("dialog").get_by_text("밥")).to_be_visible()
    heard: Any = house.people["general"].read(f"/tasks/{editor.task()}/comments")
    assert [comment["text"] for comment in heard["items"]] == ["밥"]


def test_the_wheel_zooms_around_the_pointer_and_the_image_follows(editor: Visitor) -> None:
    image = editor.page.locator(".picture img")
    before = image.bounding_box()
    box = editor.canvas_box()
    editor.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    editor.page.mouse.wheel(0, -400)
    after = image.bounding_box()
    assert before
    assert after
    assert after["width"] > before["width"] * 1.5
    editor.press("f")
    fitted = image.bounding_box()
    assert fitted
    assert abs(fitted["width"] - before["width"]) < 1


def test_a_finger_draws_too(editor: Visitor) -> None:
    box = editor.canvas_box()
    editor.press("p")
    session = editor.context.new_cdp_session(editor.page)
    for x, y in ((0.45, 0.3), (0.55, 0.3), (0.5, 0.5)):
        point = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}]
        session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": point})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    editor.press("Enter")
    expect(editor.page.locator("path.region")).to_have_count(1)
