"""The start page and its files are served, and nothing on it comes from elsewhere."""

import re

from flask.testing import FlaskClient


def test_the_start_page_and_what_it_needs_are_served(client: FlaskClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert links
    for link in links:
        assert link.startswith("/"), f"{link} is loaded from elsewhere"
        assert client.get(link).status_code in (200, 308), link


def test_the_start_page_works_under_its_content_policy(client: FlaskClient) -> None:
    page = client.get("/")
    assert "script-src" not in page.headers["Content-Security-Policy"]
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bon\w+=|style=", page.text), "inline code would be blocked"
