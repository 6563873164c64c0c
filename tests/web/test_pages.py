"""The pages are served at their addresses, packed, and nothing on them comes from elsewhere."""

import gzip
import re
from pathlib import Path

import pytest

from crowd.web import pages
from tests.kinds import Client


@pytest.fixture(autouse=True)
def _built() -> None:
    assert (pages.DIST / "index.html").is_file(), "build the pages first: ./run setup, or frontend/build.py"


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/work",
        "/work/segmentation",
        "/work/grid",
        "/courses",
        "/courses/styles/exam",
        "/me",
        "/admin",
        "/admin/people/3",
        "/admin/audits/1/images",
        "/password",
        "/deliveries/7",
        "/contracts",
    ],
)
def test_a_page_and_what_it_needs_are_served(client: Client, address: str) -> None:
    page = client.get(address)
    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-cache"
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert links
    for link in links:
        assert link.startswith("/"), f"{link} is loaded from elsewhere"
        assert client.get(link).status_code == 200, link


@pytest.mark.parametrize(
    "address", ["/nothing", "/work/a/b", "/courses/a/b/c", "/admin/people/x", "/assets/nothing.js"]
)
def test_what_is_no_page_is_not_found(client: Client, address: str) -> None:
    assert client.get(address).status_code == 404


def test_the_content_policy_allows_no_inline_code(client: Client) -> None:
    page = client.get("/")
    policies = page.headers.getlist("Content-Security-Policy")
    assert any("default-src 'self'" in policy for policy in policies)
    assert any("require-trusted-types-for 'script'" in policy for policy in policies)
    assert not any("unsafe" in policy for policy in policies)
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bon\w+=|style=", page.text), "inline code would be blocked"


def test_built_files_are_kept_for_good_and_sent_packed(client: Client) -> None:
    name = max((pages.DIST / "assets").glob("*.js"), key=lambda path: path.stat().st_size).name
    plain = client.get(f"/assets/{name}")
    packed = client.get(f"/assets/{name}", headers={"Accept-Encoding": "gzip"})
    brotli = client.get(f"/assets/{name}", headers={"Accept-Encoding": "gzip, br"})
    for answer in (plain, packed, brotli):
        assert "immutable" in answer.headers["Cache-Control"]
        assert "Accept-Encoding" in answer.headers["Vary"]
        assert answer.mimetype == "text/javascript"
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert brotli.headers["Content-Encoding"] == "br"
    assert len(brotli.data) < len(packed.data) < len(plain.data)


def test_packed_files_have_no_address_of_their_own(client: Client) -> None:
    packed = next((pages.DIST / "assets").glob("*.gz")).name
    assert client.get(f"/assets/{packed}").status_code == 404


def test_without_a_build_the_page_says_what_to_do(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pages, "DIST", tmp_path)
    answer = client.get("/")
    assert answer.status_code == 503
    assert answer.json["code"] == "pages_not_built"
