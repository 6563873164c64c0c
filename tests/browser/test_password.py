"""Everybody changes their own password in the browser, whatever their account is for."""

import pytest
from playwright.sync_api import expect

from crowd.accounts.models import AccountKind
from tests.browser.conftest import Visit
from tests.browser.house import PASSWORD, House
from tests.browser.visitors import Visitor

NEW = "another good password"


def _fill(visitor: Visitor, old: str, new: str, again: str) -> None:
    for key, text in (("own.old", old), ("own.new", new), ("password.again", again)):
        visitor.page.get_by_label(visitor.word(key), exact=True).fill(text)


def _logged_in(visitor: Visitor, password: str, name: str) -> int:
    body = {"username": name, "password": password}
    return visitor.context.request.post(f"{visitor.house.url}/api/v1/login", data=body).status


@pytest.mark.parametrize("kind", [None, AccountKind.SUPPLIER, AccountKind.REFINER, AccountKind.AUDITOR])
def test_a_password_is_changed_by_keys_alone(visit: Visit, house: House, kind: AccountKind | None) -> None:
    if kind is None:
        house.person("general", "somebody")
    else:
        house.handler(kind, "somebody", "A shop" if kind is AccountKind.SUPPLIER else None)
    visitor = visit("somebody", "/", language="ko")
    visitor.page.get_by_role("banner").get_by_role("link", name="somebody").focus()
    visitor.press("Enter")
    expect(visitor.page.get_by_role("heading", level=1)).to_contain_text(visitor.word("password.title"))
    _fill(visitor, PASSWORD, NEW, NEW)
    visitor.press("Enter")
    expect(visitor.page.get_by_role("status")).to_have_text(visitor.word("own.password_changed"))
    visitor.visit("/password")
    expect(visitor.page.get_by_label(visitor.word("own.old"), exact=True)).to_be_visible()
    other = visit()
    assert _logged_in(other, PASSWORD, "somebody") == 401
    assert _logged_in(other, NEW, "somebody") == 200


def test_what_is_wrong_is_told_and_the_password_stays(visit: Visit, house: House) -> None:
    house.person("general", "somebody")
    visitor = visit("somebody", "/me")
    _fill(visitor, PASSWORD, NEW, "some other text")
    visitor.button("own.change").click()
    expect(visitor.page.get_by_role("alert")).to_have_text(visitor.word("password.differ"))
    _fill(visitor, "not the present one", NEW, NEW)
    visitor.button("own.change").click()
    expect(visitor.page.get_by_role("alert")).to_have_text(visitor.word("password.wrong"))
    assert _logged_in(visit(), PASSWORD, "somebody") == 200
