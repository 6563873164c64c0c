"""Auditors from outside look at everything, change nothing, and sign."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from flask import Flask
from werkzeug.routing import Rule

from crowd.accounts.auth import AUDITORS_WRITE, SAFE_METHODS
from crowd.audits import service
from crowd.audits.models import AuditSignature
from crowd.audits.service import Wanted
from crowd.core import clock
from crowd.datasets.service import create_release
from crowd.policy import Grade
from crowd.runtime import Runtime
from tests.datasets.factories import Crowd
from tests.kinds import Bearer, Client, Headers, MakeWorker

API = "/api/v1"
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
# Of these nobody asks who is calling.
FOR_ANYBODY = {"accounts.login"}


@pytest.fixture
def admin(make_worker: MakeWorker, bearer: Bearer) -> Headers:
    _, token = make_worker(Grade.ADMIN, name="admin")
    return bearer(token)


@pytest.fixture
def auditor(client: Client, admin: Headers, bearer: Bearer) -> Headers:
    made = client.post(f"{API}/auditors", json={"username": "outsider"}, headers=admin)
    assert made.status_code == 201, made.text
    assert made.json["kind"] == "auditor"
    return bearer(made.json["token"])


@pytest.fixture
def audit_id(rt: Runtime, app: Flask) -> int:
    """One accepted image, released and audited."""
    made = Crowd(rt)
    made.accept(1)
    create_release(rt.db, "first", taxonomy_id=made.taxonomy_id, by=None, now=clock.now())
    return service.draw(rt.db, Wanted(None, None, 0.95, 0.02, 0, 1, "before the second"), by=None)


def written(app: Flask) -> Iterator[tuple[Rule, str]]:
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - SAFE_METHODS):
            yield rule, method


def address(rule: Rule) -> str:
    values = dict.fromkeys(rule.arguments, 1 if "int:" in rule.rule else "styles")
    _, path = rule.build(values) or ("", "")
    return path


@ON_SQLITE
def test_every_route_that_writes_refuses_an_auditor(
    app: Flask, client: Client, auditor: Headers, audit_id: int
) -> None:
    tried = 0
    for rule, method in written(app):
        if rule.endpoint in AUDITORS_WRITE | FOR_ANYBODY:
            continue
        response = client.open(address(rule), method=method, json={}, headers=auditor)
        assert response.status_code == 403, (rule, method, response.status_code, response.text)
        tried += 1
    assert tried > 60
    assert {"audits.sign_audit", "accounts.logout", "accounts.change_password"} == AUDITORS_WRITE


READ = (
    "/me",
    "/images",
    "/images/1",
    "/images/1/file",
    "/workers",
    "/workers/1/quality",
    "/workers/1/grades",
    "/stats/progress",
    "/stats/workers",
    "/stats/reviewers",
    "/releases",
    "/releases/1",
    "/releases/1/exports",
    "/releases/1/downloads",
    "/audits",
    "/audits/1",
    "/audits/1/images",
    "/audits/1?format=csv",
    "/audits/preview?supplier=A%20shop",
    "/guidelines/styles",
    "/guidelines/styles/versions",
    "/stats/attention",
    "/stats/weeks",
    "/auditors",
    "/suppliers",
    "/deliveries",
    "/contracts",
    "/redos",
    "/taxonomy",
)


@ON_SQLITE
def test_an_auditor_reads_what_admins_read(client: Client, auditor: Headers, audit_id: int) -> None:
    for path in READ:
        response = client.get(API + path, headers=auditor)
        assert response.status_code == 200, (path, response.text)


@ON_SQLITE
def test_an_auditor_sees_whole_histories_with_names_but_no_originals(
    client: Client, admin: Headers, auditor: Headers, audit_id: int
) -> None:
    theirs = client.get(f"{API}/images/1", headers=auditor).json
    assert theirs == client.get(f"{API}/images/1", headers=admin).json
    assert theirs["supplier"] == "A shop"
    refused = client.get(f"{API}/images/1/original", headers=auditor)
    assert (refused.status_code, refused.json["code"]) == (403, "grade")


@ON_SQLITE
def test_a_suspended_auditor_sees_nothing(
    client: Client, admin: Headers, auditor: Headers, audit_id: int
) -> None:
    me = client.get(f"{API}/me", headers=auditor).json["id"]
    assert (
        client.post(f"{API}/workers/{me}/suspend", json={"reason": "over"}, headers=admin).status_code == 200
    )
    for path in ("/audits/1", "/images/1", "/images/1/file", "/stats/progress", "/contracts"):
        assert client.get(API + path, headers=auditor).status_code == 403, path
    signed = client.post(f"{API}/audits/1/sign", json={"verdict": "approved"}, headers=auditor)
    assert signed.status_code == 403


@ON_SQLITE
def test_suppliers_and_workers_are_no_auditors(
    client: Client, admin: Headers, make_worker: MakeWorker, bearer: Bearer, audit_id: int
) -> None:
    expert = bearer(make_worker(Grade.EXPERT)[1])
    made = client.post(f"{API}/refiners", json={"username": "refines"}, headers=admin).json
    for headers in (expert, bearer(made["token"])):
        assert client.get(f"{API}/audits", headers=headers).status_code == 403
        signed = client.post(f"{API}/audits/1/sign", json={"verdict": "approved"}, headers=headers)
        assert signed.status_code == 403


def test_a_signature_keeps_who_when_and_how_the_audit_stood(
    client: Client, admin: Headers, auditor: Headers, audit_id: int
) -> None:
    path = f"{API}/audits/{audit_id}/sign"
    for comment in ({}, {"comment": "   "}):
        silent = client.post(path, json={"verdict": "rejected", **comment}, headers=auditor)
        assert (silent.status_code, list(silent.json["errors"])) == (422, ["comment"])
    noted = client.post(path, json={"verdict": "noted", "comment": " too early "}, headers=auditor)
    assert (noted.status_code, noted.json["current"]) == (201, True)
    dropped = client.post(f"{API}/audits/{audit_id}/drop", json={"reason": "by mistake"}, headers=admin)
    assert dropped.status_code == 200
    assert client.post(path, json={"verdict": "approved"}, headers=auditor).status_code == 201
    shown = client.get(f"{API}/audits/{audit_id}", headers=admin).json["signatures"]
    assert [(each["who"], each["verdict"], each["comment"], each["audit_verdict"]) for each in shown] == [
        ("outsider", "noted", "too early", "open"),
        ("outsider", "approved", "", "dropped"),
    ]
    assert [each["current"] for each in shown] == [False, True]
    assert all(each["at"] for each in shown)
    missing = client.post(f"{API}/audits/99/sign", json={"verdict": "approved"}, headers=auditor)
    assert missing.status_code == 404


def test_an_auditor_signs_an_audit_as_it_stands_once(
    rt: Runtime, client: Client, admin: Headers, auditor: Headers, bearer: Bearer, audit_id: int
) -> None:
    path = f"{API}/audits/{audit_id}/sign"
    assert client.post(path, json={"verdict": "approved"}, headers=auditor).status_code == 201
    for body in ({"verdict": "approved"}, {"verdict": "rejected", "comment": "on second thoughts"}):
        again = client.post(path, json=body, headers=auditor)
        assert (again.status_code, again.json["code"]) == (409, "already_signed")
    other = client.post(f"{API}/auditors", json={"username": "another"}, headers=admin).json
    assert client.post(path, json={"verdict": "approved"}, headers=bearer(other["token"])).status_code == 201
    assert len(client.get(f"{API}/audits/{audit_id}", headers=admin).json["signatures"]) == 2
    with rt.db.read() as conn:
        kept = conn.execute(sa.select(*AuditSignature.__table__.columns).limit(1)).one()._mapping
    with pytest.raises(sa.exc.IntegrityError), rt.db.begin() as conn:
        conn.execute(sa.insert(AuditSignature).values({**kept, "id": None, "comment": "past the service"}))


@ON_SQLITE
def test_an_auditor_logs_in_chooses_a_password_and_logs_out(client: Client, admin: Headers) -> None:
    made = client.post(f"{API}/auditors", json={"username": "outsider"}, headers=admin).json
    word = {"username": "outsider", "password": made["password"]}
    assert client.post(f"{API}/login", json=word).status_code == 200
    cookie = client.get_cookie("csrf_token")
    assert cookie is not None
    headers = {"X-CSRF-Token": cookie.value}
    change = {"old": made["password"], "new": "a long enough password"}
    assert client.post(f"{API}/me/password", json=change, headers=headers).status_code == 204
    cookie = client.get_cookie("csrf_token")
    assert cookie is not None
    headers = {"X-CSRF-Token": cookie.value}
    assert client.post(f"{API}/me/tokens", headers=headers).status_code == 403
    assert client.post(f"{API}/logout", headers=headers).status_code == 204
