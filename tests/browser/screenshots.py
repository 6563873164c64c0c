"""Pictures of every screen in both languages: `python -m tests.browser.screenshots FOLDER`."""

import argparse
import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from crowd.policy import Stage
from tests.browser.house import House, furnish, open_house
from tests.browser.visitors import Visitor, browser_path

SIZE = {"width": 1280, "height": 720}
TABLET = {"width": 820, "height": 1180}

Act = Callable[[Page], None]


def press(*keys: str) -> Act:
    """Press keys one after the other."""

    def act(page: Page) -> None:
        for key in keys:
            page.keyboard.press(key)

    return act


def nothing(page: Page) -> None:
    """Only look."""


SCREENS: tuple[tuple[str, str, str, Act], ...] = (
    ("login", "", "/", nothing),
    ("home", "general", "/", nothing),
    ("segmentation", "general", "/work/segmentation", nothing),
    ("segmentation-edited", "general", "/work/segmentation", press("a", "]")),
    ("help", "general", "/work/segmentation", press("?")),
    ("unusable", "general", "/work/segmentation", press("Shift+U")),
    ("guide", "general", "/work/segmentation", press("Shift+G")),
    ("attributes-precheck", "general", "/work/attributes", nothing),
    ("attributes", "general", "/work/attributes", press("Enter", "1", "1", "j", "1")),
    ("styles-precheck", "expert", "/work/styles", nothing),
    ("styles", "expert", "/work/styles", press("Enter", "1", "2")),
    ("sendback", "expert", "/work/styles", press("n", "q")),
    ("first-review", "reviewer", "/work/first_review", nothing),
    ("first-review-rejected", "reviewer", "/work/first_review", press("2", "q", "a")),
    ("second-review", "inspector", "/work/second_review", press("5")),
    ("grid", "inspector", "/work/grid", press("5", "4")),
    ("idle", "expert", "/work/adjudication", nothing),
    ("own", "general", "/me", nothing),
    ("dashboard", "admin", "/admin", nothing),
    ("images", "admin", "/admin/images", nothing),
    ("image", "admin", "/admin/images/1", nothing),
    ("people", "admin", "/admin/people", nothing),
    ("person", "admin", "/admin/people/2", nothing),
    ("releases", "admin", "/admin/releases", nothing),
    ("models", "admin", "/admin/models", nothing),
)


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="a part of the names of the screens wanted")
    parser.add_argument("--languages", default="en,ko")
    parser.add_argument("--themes", default="light,dark")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, open_house(Path(data)) as house, _browser() as new:
        furnish(house, 4)
        _send_something_back(house)
        for language in given.languages.split(","):
            for theme in given.themes.split(","):
                _take(house, new, given.folder, language, theme, given.only)


def _send_something_back(house: House) -> None:
    general = house.person("general", "general")
    task = general.claim("segmentation")
    general.submit(task, house.right_answer(Stage.SEGMENTATION, house.seeds[task["image"]["id"]]))
    tagger = house.bot("general", "the-attributes-1")
    again = tagger.claim("attributes")
    tagger.send_back(again, comment="The sleeve is missing on the left. 왼쪽 소매가 빠졌습니다.")


@contextlib.contextmanager
def _browser() -> Iterator[Callable[..., Visitor]]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        yield lambda house, **options: Visitor(browser.new_context(**options), house)
        browser.close()


def _take(
    house: House, new: Callable[..., Visitor], folder: Path, language: str, theme: str, only: str
) -> None:
    for name, person, path, act in SCREENS:
        if only not in name:
            continue
        visitor = new(
            house, viewport=SIZE, locale={"en": "en-GB", "ko": "ko-KR"}[language], color_scheme=theme
        )
        if person:
            visitor.log_in(person)
        visitor.visit(path)
        page = visitor.page
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(150)
        act(page)
        page.wait_for_timeout(250)
        page.screenshot(path=folder / f"{name}-{language}-{theme}.png")
        if name in ("segmentation", "attributes", "first-review") and theme == "light":
            page.set_viewport_size(TABLET)
            page.wait_for_timeout(200)
            page.screenshot(path=folder / f"{name}-tablet-{language}.png")
        visitor.leave()
        print(f"{name} {language} {theme}", flush=True)


if __name__ == "__main__":
    main()
