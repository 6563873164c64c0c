"""Every screen in both languages and themes: axe finds nothing on it, and nothing is cut off or shifts."""

from typing import Any

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
# Of what axe may fetch beforehand, only a rule that is off by default wants the styles.
AXE_RUN = """async (only) => {
  const rules = only && { runOnly: { type: 'rule', values: only } };
  const how = { resultTypes: ['violations'], preload: { assets: ['media'] }, ...rules };
  const found = await axe.run(document, how);
  const all = [...found.violations, ...found.passes, ...found.incomplete, ...found.inapplicable];
  return {
    faults: found.violations.flatMap(({ id, nodes }) => nodes.map((at) => [id, at.html, at.failureSummary])),
    ofColours: all.filter(({ tags }) => tags.includes('cat.color')).map(({ id }) => id),
  };
}"""
OTHER_LANGUAGE = {"en": "ko", "ko": "en"}
OTHER_THEME: dict[Theme, Theme] = {"light": "dark", "dark": "light"}


def test_axe_finds_nothing_on_any_screen_in_either_language_and_theme(visit: Visit, house: House) -> None:
    """Every screen is opened once: by turns in either language and theme, as the last one was left."""
    build.install()
    _fill(house)
    faults: list[str] = []
    visitors: dict[str, Visitor] = {}
    theme: Theme = "light"
    for screen in SCREENS:
        if screen.person not in visitors:
            visitors[screen.person] = visit(screen.person, "/")
            visitors[screen.person].page.add_init_script(path=AXE)
        visitor = visitors[screen.person]
        visitor.wear(theme)
        visitor.visit(screen.path)
        visitor.settle()
        screen.act(visitor)
        visitor.settle()
        for language in (visitor.language, OTHER_LANGUAGE[visitor.language]):
            visitor.speak(language)
            name = f"{screen.name} {language}"
            found, of_colours = _axe(visitor)
            assert of_colours
            faults += [f"{name} {theme}: {fault}" for fault in found]
            theme = OTHER_THEME[theme]
            visitor.wear(theme)
            faults += [f"{name} {theme}: {fault}" for fault in _axe(visitor, of_colours)[0]]
            wide: int = visitor.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if wide > 0:
                faults.append(f"{name}: {wide} px wider than the window")
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


def _fill(house: House) -> None:
    # Three of each: one gold item of a stage is retired, one is kept for exams, and learners need another.
    furnish(house, 3)
    # A model that is never unsure would leave nothing to mark.
    house.erring = True
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


def _axe(visitor: Visitor, only: list[str] | None = None) -> tuple[list[str], list[str]]:
    """What axe finds (by `only` these rules), and which of the rules it followed are of colours.

    Nothing else of a page depends on the theme: it is a set of colours.
    """
    found: Any = visitor.page.evaluate(AXE_RUN, only)
    faults = [f"{rule}: {html[:160]} {(summary or '')[:160]}" for rule, html, summary in found["faults"]]
    return faults, found["ofColours"]
