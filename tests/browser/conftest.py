"""Browsers, and houses for them to visit."""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.house import House, open_house
from tests.browser.visitors import Theme, Visitor, browser_path, new_context

Visit = Callable[..., Visitor]

# A machine that does much else at the same time is slow; who waits for nothing waits no longer.
expect.set_options(timeout=15_000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One headless browser for all; none to be had: the test is skipped, under CI=true an error."""
    path = browser_path()
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium here: apt install chromium")
        pytest.skip("no Chromium here")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        # Children forked for loading pictures, and not collected yet, hold the driver's pipes open.
        gc.collect()
        opened.close()


@pytest.fixture
def house(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> Iterator[House]:
    """An empty house; indirect parameters are those of `open_house`."""
    with open_house(tmp_path, template=sqlite_template, **getattr(request, "param", {})) as opened:
        yield opened


@pytest.fixture
def visit(browser: Browser, house: House) -> Iterator[Visit]:
    """`visit(name, path, language=...)`: a browser of their own for each person; no page may have failed."""
    opened: list[Visitor] = []

    def enter(name: str = "", path: str = "/", *, language: str = "en", theme: Theme = "light") -> Visitor:
        visitor = Visitor(new_context(browser, language, theme), house, language)
        opened.append(visitor)
        if name:
            visitor.log_in(name)
        visitor.visit(path)
        return visitor

    yield enter
    failures = [error for visitor in opened for error in visitor.errors]
    for visitor in opened:
        visitor.leave()
    assert not failures
