"""Logging in and out: sessions, forged writes, throttling."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from argon2 import PasswordHasher
from flask import Flask

from crowd.accounts import queries
from crowd.app import create_app
from crowd.core import security
from crowd.core.config import Settings
from crowd.policy import Grade
from crowd.runtime import Runtime, build_runtime
from tests.kinds import Answer, Bearer, Client, MakeWorker, client_of

PASSWORD = "correct horse battery"


@pytest.fixture
def anna(make_worker: MakeWorker) -> int:
    return make_worker(Grade.GENERAL, name="Anna", password=PASSWORD)[0]


def log_in(
    client: Client, password: str = PASSWORD, username: str = "Anna", address: str = "10.0.0.1"
) -> Answer:
    body = {"username": username, "password": password}
    return client.post("/api/v1/login", json=body, environ_overrides={"REMOTE_ADDR": address})


def csrf(client: Client) -> dict[str, str]:
    cookie = client.get_cookie("csrf_token")
    assert cookie is not None
    return {"X-CSRF-Token": cookie.value}


def test_login_tells_who_one_is_and_opens_a_session(client: Client, anna: int) -> None:
    answer = log_in(client)
    assert answer.status_code == 200
    assert answer.json == {"id": anna, "username": "Anna", "grade": "general"}
    assert client.get("/api/v1/me").json["username"] == "Anna"


def test_session_cookie_is_hidden_from_scripts_and_csrf_cookie_is_not(client: Client, anna: int) -> None:
    cookies = {line.split("=")[0]: line for line in log_in(client).headers.getlist("Set-Cookie")}
    assert "HttpOnly" in cookies["session"]
    assert "HttpOnly" not in cookies["csrf_token"]
    assert all("SameSite=Lax" in line for line in cookies.values())


def test_cookies_are_secure_where_that_is_asked_for(rt: Runtime, anna: int) -> None:
    app = create_app(rt=rt, environ={"CROWD_SECURE_COOKIES": "1"})
    cookies = log_in(client_of(app)).headers.getlist("Set-Cookie")
    assert len(cookies) == 2
    assert all("Secure" in line for line in cookies)


@pytest.mark.parametrize(
    ("username", "password"), [("Anna", "wrong"), ("nobody", PASSWORD), ("anna", PASSWORD)]
)
def test_wrong_name_and_wrong_password_look_the_same(
    client: Client, anna: int, username: str, password: str
) -> None:
    answer = log_in(client, password, username)
    assert (answer.status_code, answer.json["code"]) == (401, "wrong_credentials")
    assert answer.content_type == "application/problem+json"
    assert answer.json["detail"] == "User name and password do not belong together."
    assert client.get("/api/v1/me").status_code == 401


def test_an_unknown_name_costs_a_hash_too(client: Client, anna: int, monkeypatch: pytest.MonkeyPatch) -> None:
    verified = []
    real = security._HASHER

    class Watched:
        def verify(self, *words: str) -> bool:
            verified.append(words)
            return real.verify(*words)

    monkeypatch.setattr(security, "_HASHER", Watched())
    log_in(client, username="nobody")
    assert len(verified) == 1


def test_decomposed_name_is_the_same_name(client: Client, make_worker: MakeWorker) -> None:
    make_worker(Grade.GENERAL, name="Zoë-김", password=PASSWORD)
    assert log_in(client, username="Zoe\u0308-김").status_code == 200


def test_write_with_a_session_needs_the_csrf_token(client: Client, anna: int) -> None:
    log_in(client)
    assert client.post("/api/v1/me/tokens").status_code == 403
    refused = client.post("/api/v1/me/tokens", headers={"X-CSRF-Token": "guessed"})
    assert (refused.status_code, refused.json["code"]) == (403, "csrf")
    assert client.post("/api/v1/me/tokens", headers=csrf(client)).status_code == 201


def test_csrf_token_of_another_session_is_refused(
    app: Flask, client: Client, anna: int, make_worker: MakeWorker
) -> None:
    make_worker(Grade.GENERAL, name="Ben", password=PASSWORD)
    other = client_of(app)
    log_in(client)
    log_in(other, username="Ben")
    stolen = csrf(other)
    client.set_cookie("csrf_token", stolen["X-CSRF-Token"])
    assert client.post("/api/v1/me/tokens", headers=stolen).status_code == 403


def test_write_with_a_token_needs_no_csrf_token(
    client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    _, token = make_worker(Grade.GENERAL)
    assert client.post("/api/v1/me/tokens", headers=bearer(token)).status_code == 201


def test_lost_csrf_cookie_is_handed_out_again(client: Client, anna: int) -> None:
    log_in(client)
    client.delete_cookie("csrf_token")
    client.get("/api/v1/me")
    assert client.post("/api/v1/me/tokens", headers=csrf(client)).status_code == 201


def test_logout_ends_the_session_and_needs_the_csrf_token(client: Client, anna: int) -> None:
    log_in(client)
    assert client.post("/api/v1/logout").status_code == 403
    assert client.get("/api/v1/me").status_code == 200
    assert client.post("/api/v1/logout", headers=csrf(client)).status_code == 204
    assert client.get("/api/v1/me").status_code == 401
    assert client.post("/api/v1/logout").status_code == 204


def test_wrong_token_is_not_covered_by_the_session(client: Client, anna: int, bearer: Bearer) -> None:
    log_in(client)
    assert client.get("/api/v1/me", headers=bearer("wrong")).status_code == 401


def test_new_password_ends_other_sessions_and_keeps_tokens(
    app: Flask, client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    _, token = make_worker(Grade.GENERAL, name="Anna", password=PASSWORD)
    other = client_of(app)
    log_in(client)
    log_in(other)
    body = {"old": PASSWORD, "new": "another long one"}
    assert client.post("/api/v1/me/password", json=body, headers=csrf(client)).status_code == 204
    assert client.get("/api/v1/me").status_code == 200
    assert client.post("/api/v1/me/tokens", headers=csrf(client)).status_code == 201
    assert other.get("/api/v1/me").status_code == 401
    assert client.get("/api/v1/me", headers=bearer(token)).status_code == 200
    assert log_in(other).status_code == 401
    assert log_in(other, "another long one").status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"old": "not it", "new": "long enough"}, "old"),
        ({"old": PASSWORD, "new": "7 chars"}, "new"),
        ({"old": PASSWORD, "new": "x" * 129}, "new"),
        ({"old": PASSWORD}, "new"),
    ],
)
def test_password_change_names_the_field_at_fault(
    client: Client, anna: int, body: dict[str, str], field: str
) -> None:
    log_in(client)
    answer = client.post("/api/v1/me/password", json=body, headers=csrf(client))
    assert answer.status_code == 422
    assert list(answer.json["errors"]) == [field]
    assert log_in(client).status_code == 200


def test_sixth_wrong_guess_in_a_minute_is_throttled_even_if_right(client: Client, anna: int) -> None:
    assert [log_in(client, "wrong").status_code for _ in range(5)] == [401] * 5
    answer = log_in(client)
    assert (answer.status_code, answer.json["code"]) == (429, "too_many_logins")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_throttled_account_opens_from_another_address(client: Client, anna: int) -> None:
    for _ in range(6):
        log_in(client, "wrong")
    assert log_in(client, address="10.0.0.2").status_code == 200


def test_right_logins_are_never_counted(client: Client, anna: int) -> None:
    assert [log_in(client).status_code for _ in range(8)] == [200] * 8


def test_guesses_at_the_same_moment_do_not_slip_through(app: Flask, anna: int) -> None:
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: log_in(client_of(app), "wrong").status_code, range(12)))
    assert sorted(answers) == [401] * 5 + [429] * 7


def test_right_logins_at_the_same_moment_all_succeed(app: Flask, anna: int) -> None:
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: log_in(client_of(app)).status_code, range(12)))
    assert answers == [200] * 12


def test_wrong_old_passwords_are_throttled_too(client: Client, anna: int) -> None:
    log_in(client)
    body = {"old": "wrong", "new": "long enough"}
    answers = [
        client.post("/api/v1/me/password", json=body, headers=csrf(client)).status_code for _ in range(6)
    ]
    assert answers == [422] * 5 + [429]


def test_one_address_cannot_try_one_word_on_many_names(settings: Settings, rt: Runtime) -> None:
    tight = replace(rt, policy=replace(rt.policy, login_failures_per_address=3))
    client = client_of(create_app(rt=tight, environ={}))
    answers = [log_in(client, "wrong", f"name-{number}").status_code for number in range(4)]
    assert answers == [401, 401, 401, 429]
    assert log_in(client, "wrong", "name-9", address="10.0.0.9").status_code == 401


def test_throttle_holds_without_redis(settings: Settings, make_worker: MakeWorker) -> None:
    make_worker(Grade.GENERAL, name="Anna", password=PASSWORD)
    alone = build_runtime(replace(settings, redis_url="redis://127.0.0.1:1/0"))
    client = client_of(create_app(rt=alone, environ={}))
    assert [log_in(client, "wrong").status_code for _ in range(6)] == [401] * 5 + [429]
    alone.db.close()


def test_hash_of_older_parameters_is_renewed_at_login(
    client: Client, rt: Runtime, make_worker: MakeWorker
) -> None:
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    worker_id, _ = make_worker(Grade.GENERAL, name="Anna")
    with rt.db.begin() as conn:
        queries.set_password_hash(conn, worker_id, cheap, end_sessions=False)
    assert log_in(client).status_code == 200
    with rt.db.read() as conn:
        found = queries.credentials_of(conn, worker_id)
    assert found is not None
    assert found.password_hash != cheap
    assert not security.needs_rehash(found.password_hash or "")
    assert client.get("/api/v1/me").status_code == 200
    assert log_in(client).status_code == 200


def test_person_without_a_password_cannot_log_in(client: Client, make_worker: MakeWorker) -> None:
    make_worker(Grade.GENERAL, name="Anna")
    assert log_in(client, "anything at all").status_code == 401


def test_requests_of_one_account_are_limited_whatever_the_address(
    settings: Settings, make_worker: MakeWorker, bearer: Bearer
) -> None:
    _, one = make_worker(Grade.GENERAL)
    _, other = make_worker(Grade.GENERAL)
    narrow = build_runtime(replace(settings, requests_per_minute=3))
    client = client_of(create_app(rt=narrow, environ={}))
    answers = [
        client.get("/api/v1/me", headers=bearer(one), environ_overrides={"REMOTE_ADDR": f"10.0.0.{number}"})
        for number in range(4)
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[3].headers["Retry-After"]) >= 1
    assert answers[3].json["code"] == "too_many_requests"
    assert client.get("/api/v1/me", headers=bearer(other)).status_code == 200
    narrow.db.close()
