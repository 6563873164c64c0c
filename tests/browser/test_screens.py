"""Every screen in both languages and themes: axe finds nothing on it, and nothing is cut off or shifts."""

import os
from typing import Any

import pytest
from playwright.sync_api import expect

from crowd.core import clock
from crowd.datasets import service as datasets
from crowd.tasks import taxonomies
from frontend import build
from tests.browser.audited import audit
from tests.browser.conftest import Visit
from tests.browser.house import House, furnish
from tests.browser.screens import SCREENS, STEERING
from tests.browser.steered import steer
from tests.browser.visitors import Theme, Visitor
from tests.browser.watched import watch

SHIFT = (
    "window.shift = 0; new PerformanceObserver((list) => list.getEntries()"
    ".forEach((entry) => { if (!entry.hadRecentInput) window.shift += entry.value; }))"
    ".observe({ type: 'layout-shift', buffered: true });"
)
AXE = build.MODULES / "axe-core" / "axe.min.js"
# All four take four times as long; CROWD_TEST_ALL_THEMES=1 asks for them.
LOOKS: list[tuple[str, Theme]] = [("en", "light"), ("ko", "dark")]
if os.environ.get("CROWD_TEST_ALL_THEMES"):
    LOOKS += [("en", "dark"), ("ko", "light")]


@pytest.mark.parametrize(("language", "theme"), LOOKS)
def test_axe_finds_nothing_on_any_screen(visit: Visit, house: House, language: str, theme: Theme) -> None:
    build.install()
    # Two of each: one gold item of a stage is retired, and learners need another.
    furnish(house, 2)
    steer(house)
    watch(house)
    release = datasets.create_release(
        house.rt.db,
        "first",
        taxonomy_id=taxonomies.ensure(house.rt.db, house.rt.taxonomy),
        by=None,
        now=clock.now(),
    )
    assert release.id
    audit(house)
    faults: list[str] = []
    visitors: dict[str, Visitor] = {}
    for screen in SCREENS:
        visitor = visitors.get(screen.person) or visit(screen.person, "/", language=language, theme=theme)
        visitors[screen.person] = visitor
        visitor.visit(screen.path)
        visitor.page.wait_for_load_state("networkidle")
        screen.act(visitor)
        faults += [f"{screen.name}: {fault}" for fault in _axe(visitor)]
        wide: int = visitor.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if wide > 0:
            faults.append(f"{screen.name}: {wide} px wider than the window")
    assert faults == []


def test_no_screen_of_work_shifts_while_it_loads(visit: Visit, house: House) -> None:
    furnish(house, 1)
    visitor = visit("general", "/")
    visitor.page.add_init_script(SHIFT)
    visitor.visit("/work/segmentation")
    visitor.await_task("segmentation")
    visitor.page.wait_for_load_state("networkidle")
    assert visitor.page.evaluate("window.shift") < 0.01


def test_no_screen_of_steering_shifts_while_it_loads(visit: Visit, house: House) -> None:
    furnish(house, 1)
    steer(house)
    visitor = visit("admin", "/me")
    visitor.page.add_init_script(SHIFT)
    shifts: dict[str, float] = {}
    for screen in STEERING:
        visitor.visit(screen.path)
        visitor.page.wait_for_load_state("networkidle")
        shifts[screen.name] = visitor.page.evaluate("window.shift")
    assert {name: shift for name, shift in shifts.items() if shift >= 0.01} == {}


def test_the_work_screen_fits_a_tablet_held_upright(visit: Visit, house: House) -> None:
    furnish(house, 1)
    visitor = visit("general", "/work/segmentation")
    visitor.page.set_viewport_size({"width": 820, "height": 1180})
    visitor.await_task("segmentation")
    expect(visitor.button("work.submit")).to_be_in_viewport()
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 820


def _axe(visitor: Visitor) -> list[str]:
    # Through the debugger: the page's content policy lets no foreign script in.
    visitor.page.evaluate(AXE.read_text(encoding="utf-8"))
    found: Any = visitor.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{violation['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:160]}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
