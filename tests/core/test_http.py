"""What every request and answer has in common, on the real application."""

import io
import json
import re
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from crowd.accounts.models import Worker
from crowd.app import create_app
from crowd.core.clock import now
from crowd.core.config import Settings
from crowd.core.http import MOST_JSON_BYTES, page, unkeepable
from crowd.core.schemas import PageArgs, cursor_of, flat
from crowd.policy import Grade
from crowd.runtime import Runtime, build_runtime
from tests.kinds import Answer, Bearer, Client, Headers, MakeWorker, client_of

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def boss(make_worker: MakeWorker, bearer: Bearer) -> Headers:
    return bearer(make_worker(Grade.ADMIN, name="boss")[1])


def assert_problem(answer: Answer, status: int, code: str) -> None:
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert answer.content_type == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["type"] == "about:blank"
    assert answer.json["title"]
    assert answer.json["detail"]


def test_unknown_path_is_a_problem(client: Client) -> None:
    assert_problem(client.get("/api/v1/nothing"), 404, "not_found")


def test_wrong_method_is_a_problem_that_names_the_right_ones(client: Client) -> None:
    answer = client.put("/api/v1/me")
    assert_problem(answer, 405, "method_not_allowed")
    assert "GET" in answer.headers["Allow"]


def test_caller_is_checked_before_the_body(client: Client) -> None:
    for body in (b"{", b"[]", b""):
        answer = client.post("/api/v1/workers", data=body, content_type="application/json")
        assert_problem(answer, 401, "unauthorized")


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b"1" * 5000, b'"' + b"x" * 9])
def test_what_is_no_json_is_malformed(client: Client, boss: Headers, body: Any) -> None:
    answer = client.post("/api/v1/workers", data=body, headers=boss, content_type="application/json")
    assert_problem(answer, 400, "malformed")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None]
)
def test_body_that_is_not_called_json_is_unsupported(client: Client, boss: Headers, kind: Any) -> None:
    answer = client.post("/api/v1/workers", data=b'{"username":"x"}', headers=boss, content_type=kind)
    assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("body", ["[]", "null", '"text"', "5", "true"])
def test_body_that_is_no_object_is_invalid(client: Client, boss: Headers, body: Any) -> None:
    answer = client.post("/api/v1/workers", data=body, headers=boss, content_type="application/json")
    assert_problem(answer, 422, "invalid")
    assert list(answer.json["errors"]) == ["body"]


def test_no_body_at_all_lacks_every_field(client: Client, boss: Headers) -> None:
    answer = client.post("/api/v1/workers", headers=boss)
    assert_problem(answer, 422, "invalid")
    assert set(answer.json["errors"]) == {"username", "grade"}


def test_unknown_field_is_named(client: Client, boss: Headers) -> None:
    body = {"username": "x", "grade": "general", "colour": 1}
    answer = client.post("/api/v1/workers", json=body, headers=boss)
    assert_problem(answer, 422, "invalid")
    assert list(answer.json["errors"]) == ["colour"]
    assert answer.json["detail"].startswith("colour:")


@pytest.mark.parametrize("text", ["a\\u0000b", "\\ud800", "\\udfff x"])
def test_text_that_no_column_keeps_is_named(client: Client, boss: Headers, text: str) -> None:
    body = f'{{"username":"{text}","grade":"general"}}'
    answer = client.post("/api/v1/workers", data=body, headers=boss, content_type="application/json")
    assert_problem(answer, 422, "invalid")
    assert list(answer.json["errors"]) == ["username"]


def test_nul_in_a_login_is_no_breakdown(client: Client) -> None:
    answer = client.post("/api/v1/login", json={"username": "a\0", "password": "b\0"})
    assert answer.status_code == 422


def test_nul_in_a_query_is_named(client: Client, boss: Headers) -> None:
    answer = client.get("/api/v1/workers?grade=%00", headers=boss)
    assert_problem(answer, 422, "invalid")


@pytest.mark.parametrize("number", [str(2**63), "9" * 19, "9" * 5000, "-1", "1.5", "x"])
def test_id_that_is_no_64_bit_number_is_not_found(client: Client, boss: Headers, number: str) -> None:
    answer = client.get(f"/api/v1/workers/{number}", headers=boss)
    assert_problem(answer, 404, "not_found")


def test_largest_id_is_looked_for(client: Client, boss: Headers) -> None:
    answer = client.get(f"/api/v1/workers/{2**63 - 1}", headers=boss)
    assert_problem(answer, 404, "not_found")
    assert str(2**63 - 1) in answer.json["detail"]


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", str(2**70), "1.5", ""])
def test_bad_page_length_is_named(client: Client, boss: Headers, limit: Any) -> None:
    answer = client.get(f"/api/v1/workers?limit={limit}", headers=boss)
    assert_problem(answer, 422, "invalid")
    assert list(answer.json["errors"]) == ["limit"]


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "!!",
        "é",
        cursor_of("text"),
        cursor_of((1, 2)),
        cursor_of(2**63),
        cursor_of(True),
        cursor_of(1.5),
        "bnVsbA",
    ],
)
def test_bad_cursor_is_named(client: Client, boss: Headers, cursor: str) -> None:
    answer = client.get("/api/v1/workers", query_string={"cursor": cursor}, headers=boss)
    assert_problem(answer, 422, "invalid")
    assert list(answer.json["errors"]) == ["cursor"]


@given(st.integers(-(2**63), 2**63 - 1))
def test_cursor_comes_back_as_the_key_it_was(key: int) -> None:
    assert PageArgs().load({"cursor": cursor_of(key)}) == {"cursor": key, "limit": 50}


@given(st.lists(st.integers(), unique=True, max_size=12).map(sorted), st.integers(1, 5))
def test_pages_hold_every_row_once_in_order(keys: list[int], limit: Any) -> None:
    seen: list[int] = []
    after: int | None = None
    while True:
        rows = [key for key in keys if after is None or key > after][: limit + 1]
        part = page(rows, limit, lambda key: key)
        assert len(part["items"]) <= limit
        seen += part["items"]
        if part["next_cursor"] is None:
            break
        after = part["items"][-1]
    assert seen == keys


def test_large_json_body_is_refused(client: Client, boss: Headers) -> None:
    body = json.dumps({"username": "x" * MOST_JSON_BYTES, "grade": "general"})
    answer = client.post("/api/v1/workers", data=body, headers=boss, content_type="application/json")
    assert_problem(answer, 413, "too_large")


def test_large_chunked_body_is_refused(client: Client, boss: Headers) -> None:
    # What fits within the limit is a good body by itself: it must not be taken for the whole.
    document = json.dumps({"username": "x", "grade": "general"}).encode()
    body = io.BytesIO(document + b" " * MOST_JSON_BYTES)
    answer = client.post(
        "/api/v1/workers",
        input_stream=body,
        headers=boss | {"Content-Type": "application/json", "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert_problem(answer, 413, "too_large")
    assert body.tell() <= MOST_JSON_BYTES


def test_body_within_the_limit_is_read(client: Client, boss: Headers) -> None:
    body = json.dumps({"username": "x", "grade": "general"}) + " " * (MOST_JSON_BYTES - 100)
    answer = client.post("/api/v1/workers", data=body, headers=boss, content_type="application/json")
    assert answer.status_code == 201


def test_large_upload_is_refused_by_the_setting(settings: Settings) -> None:
    rt = build_runtime(replace(settings, max_upload_bytes=5_000_000))
    app = create_app(rt=rt, environ={})

    @app.post("/take")
    def take() -> dict[str, int]:
        return {"bytes": len(request.files["file"].read())}

    def send(size: int) -> Answer:
        return client_of(app).post("/take", data={"file": (io.BytesIO(b"x" * size), "a.jpg")})

    assert send(4_900_000).json == {"bytes": 4_900_000}
    assert_problem(send(5_000_001), 413, "too_large")
    rt.db.close()


def test_unexpected_error_is_500_without_its_inside(
    app: Flask, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError("the secret inside")

    answer = client.get("/broken")
    assert_problem(answer, 500, "internal")
    assert "secret inside" not in answer.text
    logged = capsys.readouterr().err
    lines = [json.loads(line) for line in logged.splitlines() if line.startswith("{")]
    told = [line["exception"] for line in lines if line["event"] == "unexpected_error"]
    assert ["the secret inside" in text for text in told] == [True]


def test_race_that_nobody_mapped_is_a_conflict(
    app: Flask, client: Client, rt: Runtime, make_worker: MakeWorker
) -> None:
    make_worker(Grade.GENERAL, name="anna")

    @app.post("/again")
    def again() -> dict[str, int]:
        with rt.db.begin() as conn:
            conn.execute(sa.insert(Worker).values(username="anna", grade=Grade.GENERAL, created_at=now()))
        return {}

    assert_problem(client.post("/again"), 409, "conflict")


def test_every_answer_carries_the_security_headers(client: Client) -> None:
    for path in ("/healthz", "/api/v1/me", "/api/docs", "/api/v1/openapi.json"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"]


def test_description_is_valid_openapi_that_names_every_route(app: Flask, client: Client) -> None:
    spec = client.get("/api/v1/openapi.json").json
    assert spec["openapi"] == "3.1.0"
    served = {
        re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1/")
        and rule.endpoint != "api-docs.openapi_json"
        and not rule.endpoint.endswith(".static")
    }
    assert set(spec["paths"]) == served
    for methods in spec["paths"].values():
        for method, operation in methods.items():
            if method != "parameters":
                assert operation["summary"]
                failure = spec["components"]["responses"]["DEFAULT_ERROR"]
                assert operation["responses"]["default"] == {"$ref": "#/components/responses/DEFAULT_ERROR"}
                assert list(failure["content"]) == ["application/problem+json"]


def test_description_keeps_to_the_words_of_openapi(client: Client) -> None:
    validate(client.get("/api/v1/openapi.json").json, cls=OpenAPIV31SpecValidator)


def test_the_parts_of_an_upload_are_one_body(client: Client) -> None:
    spec = client.get("/api/v1/openapi.json").json
    upload = spec["paths"]["/api/v1/images"]["post"]
    assert "parameters" not in upload
    assert upload["requestBody"]["content"] == {
        "multipart/form-data": {"schema": {"$ref": "#/components/schemas/UploadForm"}}
    }
    form = spec["components"]["schemas"]["UploadForm"]
    assert set(form["properties"]) == {"supplier", "rights", "batch", "file"}
    assert set(form["required"]) == {"supplier", "file"}


def test_readable_description_shows_every_operation_and_loads_nothing_from_elsewhere(client: Client) -> None:
    spec = client.get("/api/v1/openapi.json").json
    answer = client.get("/api/docs")
    assert answer.mimetype == "text/html"
    for path in spec["paths"]:
        assert path in answer.text
    for schema in spec["components"]["schemas"]:
        assert f'id="schema-{schema}"' in answer.text
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert "<script" not in answer.text
    style = re.search(r'href="([^"]+\.css)"', answer.text)
    assert style
    assert client.get(style[1]).mimetype == "text/css"


def test_nested_messages_become_flat_paths() -> None:
    messages = {
        "regions": {"r1": {"box": ["Too far out."]}, "_schema": ["None."]},
        "_schema": ["Bad."],
        0: ["x"],
    }
    assert flat(messages) == {
        "regions.r1.box": ["Too far out."],
        "regions": ["None."],
        "body": ["Bad."],
        "0": ["x"],
    }


def test_deep_nesting_is_named_and_not_followed() -> None:
    document: list[Any] = []
    for _ in range(900):
        document = [document]
    assert list(unkeepable(document).values()) == [["Nested too deep."]]


@given(DOCUMENTS)
def test_ordinary_documents_are_kept(document: Any) -> None:
    assert unkeepable(document) == {}


@pytest.mark.parametrize("value", ["\0", "\ud800", 2**63, -(2**63) - 1, float("inf")])
def test_value_that_no_column_keeps_is_found_wherever_it_is(value: Any) -> None:
    assert list(unkeepable({"a": [1, {"b": value}]})) == ["a.1.b"]
