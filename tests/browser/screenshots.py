"""Pictures of every screen in both languages: `python -m tests.browser.screenshots FOLDER`."""

import argparse
import os
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, ViewportSize, sync_playwright

from crowd.policy import Stage
from tests.browser.audited import audit
from tests.browser.house import House, furnish, open_house
from tests.browser.screens import SCREENS
from tests.browser.steered import steer
from tests.browser.visitors import Theme, Visitor, browser_path, new_context
from tests.browser.watched import watch

TABLET: ViewportSize = {"width": 820, "height": 1180}
THEMES: tuple[Theme, ...] = ("light", "dark")
ON_A_TABLET = ("segmentation", "attributes", "styles-examples", "first-review")


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="parts of the names of the screens wanted")
    parser.add_argument("--languages", default="en,ko")
    parser.add_argument("--themes", default="light,dark")
    parser.add_argument("--images", type=int, default=2, help="photographs in each stage")
    given = parser.parse_args()
    # The same tasks in the same order each time: none of them is hidden gold.
    os.environ.setdefault("CROWD_GOLD_SHARE", "0")
    given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, open_house(Path(data)) as house, sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        furnish(house, given.images)
        house.erring = True
        send_something_back(house)
        steer(house)
        audit(house)
        watch(house)
        for language in given.languages.split(","):
            for theme in THEMES:
                if theme in given.themes.split(","):
                    take(house, browser, given.folder, language, theme, given.only)
        browser.close()


def send_something_back(house: House) -> None:
    """So that there is feedback to be seen."""
    general = house.people["general"]
    task = general.claim("segmentation")
    general.submit(task, house.right_answer(Stage.SEGMENTATION, house.seeds[task["image"]["id"]]))
    tagger = house.bot("general", "the-attributes-1")
    others = []
    while (each := tagger.claim("attributes"))["image"]["id"] != task["image"]["id"]:
        others.append(each)
    tagger.send_back(each, comment="The sleeve is missing on the left. 왼쪽 소매가 빠졌습니다.")
    for other in others:
        tagger.release(other)


def take(house: House, browser: Browser, folder: Path, language: str, theme: Theme, only: str) -> None:
    """Every screen in one language and theme."""
    visitors: dict[str, Visitor] = {}
    for screen in SCREENS:
        if not any(part in screen.name for part in only.split(",")):
            continue
        if screen.person not in visitors:
            context = new_context(browser, language, theme)
            visitors[screen.person] = Visitor(context, house, language)
            if screen.person:
                visitors[screen.person].log_in(screen.person)
        visitor = visitors[screen.person]
        visitor.visit(screen.path)
        visitor.page.wait_for_load_state("networkidle")
        screen.act(visitor)
        visitor.page.wait_for_timeout(300)
        visitor.page.screenshot(path=folder / f"{screen.name}-{language}-{theme}.png")
        if screen.name in ON_A_TABLET and theme == "light":
            size = visitor.page.viewport_size
            visitor.page.set_viewport_size(TABLET)
            visitor.page.wait_for_timeout(200)
            visitor.page.screenshot(path=folder / f"{screen.name}-tablet-{language}.png")
            visitor.page.set_viewport_size(size or TABLET)
        print(f"{screen.name} {language} {theme}", flush=True)
    for visitor in visitors.values():
        visitor.leave()


if __name__ == "__main__":
    main()
