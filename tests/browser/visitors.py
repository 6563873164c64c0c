"""People at a browser: logging in, looking, and doing each kind of task by mouse or by keys alone."""

import json
import os
import re
import shutil
import time
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, expect

from tests.browser.house import PASSWORD, House
from tests.scenarios.people import API

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WORDS = Path(__file__).parents[2] / "frontend" / "src" / "i18n"


Theme = Literal["light", "dark"]
# "{n} {n:image|images}": a value, and what goes with one or more.
HOLE = re.compile(r"\{(\w+)(?::([^|{}]*)\|([^{}]*))?\}")
LOCALES = {"en": "en-GB", "ko": "ko-KR"}
# So long nothing was asked for, by the page's own clock: what is busy with an answer asks for more later.
QUIET_MS = 100
LONGEST_WAIT_S = 15.0
# Two frames later everything is painted; animations that never end are waited for by nobody.
PAINTED = """async (quiet) => {
  const frame = () => new Promise(requestAnimationFrame);
  await frame();
  await frame();
  const ends = ({ effect }) => Number.isFinite(effect?.getComputedTiming().endTime);
  await Promise.allSettled(document.getAnimations().filter(ends).map((each) => each.finished));
  if (quiet) await new Promise((done) => setTimeout(done, quiet));
}"""


def new_context(browser: Browser, language: str, theme: Theme) -> BrowserContext:
    """A browser as somebody has it who speaks that language."""
    return browser.new_context(
        locale=LOCALES[language], color_scheme=theme, viewport={"width": 1280, "height": 720}
    )


def browser_path() -> str | None:
    """The browser of this machine; CROWD_TEST_BROWSER names another."""
    if named := os.environ.get("CROWD_TEST_BROWSER"):
        return named
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@cache
def dictionary(language: str) -> Mapping[str, str]:
    """What the pages say."""
    files = (WORDS / f"{name}{language}.json" for name in ("", "pages.", "steering."))
    return {key: text for file in files for key, text in json.loads(file.read_text(encoding="utf-8")).items()}


def _filled(values: Mapping[str, object], hole: re.Match[str]) -> str:
    name, one, more = hole.groups()
    value = str(values[name])
    return value if one is None else one if value == "1" else more


class Visitor:
    """One person's browser."""

    def __init__(self, context: BrowserContext, house: House, language: str = "en") -> None:
        self.context = context
        self.house = house
        self.language = language
        self.errors: list[str] = []
        # What is under way, and how much was ever asked for.
        self.asked: set[Request] = set()
        self.told = 0
        self.page: Page = self._open()

    def log_in(self, name: str) -> None:
        """Begin a session as somebody of the house."""
        body = {"username": name, "password": PASSWORD}
        answer = self.context.request.post(f"{self.house.url}{API}/login", data=body)
        assert answer.ok, answer.text()

    def visit(self, path: str) -> None:
        """Go to a page."""
        # Of what the last page asked for, not every end is told.
        self.asked.clear()
        self.page.goto(self.house.url + path)

    def settle(self) -> None:
        """Wait until the page asks the server for nothing more, and all of it is painted."""
        until = time.monotonic() + LONGEST_WAIT_S
        told = -1
        while self.asked or told != self.told:
            told = self.told
            self.page.evaluate(PAINTED, QUIET_MS)
            assert time.monotonic() < until, sorted(each.url for each in self.asked)

    def wear(self, theme: Theme) -> None:
        """Have the system's theme changed, and the page painted in it."""
        self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        self.page.evaluate(PAINTED, 0)

    def speak(self, language: str) -> None:
        """Switch the language by the button of the line above, which a window may stand before."""
        if language == self.language:
            return
        self.page.locator(f"header button[lang={language}]").evaluate("button => button.click()")
        expect(self.page.locator("html")).to_have_attribute("lang", language)
        self.language = language
        self.settle()

    def reopen(self, path: str) -> None:
        """Close the page and open it again, as after a restart of the machine."""
        self.page.close()
        self.page = self._open()
        self.visit(path)

    def leave(self) -> None:
        """Close the browser."""
        self.context.close()

    def word(self, key: str, **values: object) -> str:
        """What the page says for a key of the dictionary."""
        return HOLE.sub(partial(_filled, values), dictionary(self.language)[key])

    def button(self, key: str) -> Locator:
        """The button that says so, whatever key is shown beside it."""
        return self.page.get_by_role("button", name=self.word(key)).first

    @property
    def bench(self) -> Locator:
        """The task at hand."""
        return self.page.locator("section.bench")

    def task(self) -> int:
        """The id of the task at hand, once there is one."""
        shown = self.bench.get_attribute("data-task")
        assert shown is not None
        return int(shown)

    def await_task(self, stage: str) -> int:
        """Wait for a task of a stage."""
        expect(self.page.get_by_role("heading", level=1, name=self.word(f"stage.{stage}"))).to_be_visible()
        expect(self.page.locator(".picture img, .picture svg").first).to_be_visible()
        return self.task()

    def await_done(self, count: int) -> None:
        """Wait until the server has taken so many answers of this page."""
        expect(self.page.locator("main[data-done]")).to_have_attribute("data-done", str(count))

    def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def tab_to(self, wanted: Locator, presses: int = 80) -> None:
        """Go there with the Tab key, as somebody without a mouse."""
        expect(wanted).to_be_visible()
        for _ in range(presses):
            if wanted.evaluate("element => element === document.activeElement"):
                return
            self.press("Tab")
        raise AssertionError("no Tab leads there")

    def click_at(self, x: float, y: float) -> None:
        """Click a spot of the image, told in shares of the view."""
        box = self.canvas_box()
        self.page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag on the image, told in shares of the view."""
        box = self.canvas_box()
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        self.page.mouse.move(*places[1], steps=6)
        self.page.mouse.up()

    def canvas_box(self) -> Mapping[str, float]:
        """Where the view of the image is."""
        box = self.page.locator(".picture").bounding_box()
        assert box is not None
        return {"x": box["x"], "y": box["y"], "width": box["width"], "height": box["height"]}

    def _open(self) -> Page:
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self._hear(line.type, line.text))
        page.on("request", self._ask)
        for end in ("requestfinished", "requestfailed"):
            page.on(end, self._hear_of)
        page.set_default_timeout(15_000)
        return page

    def _ask(self, request: Request) -> None:
        self.told += 1
        self.asked.add(request)

    def _hear_of(self, request: Request) -> None:
        self.asked.discard(request)

    def _hear(self, kind: str, text: str) -> None:
        # Refusals and lost connections are told as errors too; the app is to cope with those.
        if kind == "error" and "Failed to load resource" not in text:
            self.errors.append(text)
