"""The application as a whole: probes, figures, and a database that goes away."""

import time
from dataclasses import replace

import pytest
import sqlalchemy as sa

from crowd.accounts import service as accounts
from crowd.app import create_app
from crowd.core.config import Settings, SettingsError
from crowd.core.migrate import downgrade, upgrade
from crowd.policy import Grade
from crowd.runtime import Runtime, build_runtime
from crowd.tiers import service as tiers
from tests.kinds import Bearer, Client, MakeWorker, client_of
from tests.servers import start_postgres


def test_ready_on_a_migrated_database(client: Client, redis_url: str) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json) == (200, {"ready": True, "database": "up", "redis": "up"})


def test_ready_without_redis_but_saying_so(settings: Settings) -> None:
    rt = build_runtime(replace(settings, redis_url="redis://127.0.0.1:1/0"))
    answer = client_of(create_app(rt=rt, environ={})).get("/readyz")
    assert (answer.status_code, answer.json["redis"]) == (200, "away")
    rt.db.close()


@pytest.mark.own_database
def test_not_ready_on_a_database_that_is_not_migrated(client: Client, settings: Settings) -> None:
    downgrade(settings.database_url)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "crowd db upgrade" in answer.json["database"]
    assert client.get("/healthz").status_code == 200


@pytest.mark.own_database
def test_ready_while_a_newer_version_is_being_rolled_out(client: Client, rt: Runtime) -> None:
    with rt.db.begin() as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = 'a later one'"))
    assert client.get("/readyz").status_code == 200


def test_away_database_is_503_and_comes_back_by_itself(settings: Settings, bearer: Bearer) -> None:
    if settings.is_sqlite:
        pytest.skip("SQLite has no server that could go away")
    with start_postgres() as server:
        if server is None or not server.is_own:
            pytest.skip("no PostgreSQL server of our own to stop")
        url = server.url.replace("postgresql://", "postgresql+psycopg://")
        upgrade(url)
        rt = build_runtime(replace(settings, database_url=url))
        client = client_of(create_app(rt=rt, environ={}))
        with rt.db.begin() as conn:
            person = tiers.join(conn, "anna", Grade.GENERAL, by=None)
            _, token = accounts.issue_token(conn, person.id)
        assert client.get("/api/v1/me", headers=bearer(token)).status_code == 200
        server.stop(immediate=True)
        started = time.monotonic()
        answer = client.get("/api/v1/me", headers=bearer(token))
        assert (answer.status_code, answer.json["code"]) == (503, "database_away")
        assert int(answer.headers["Retry-After"]) >= 1
        assert client.get("/readyz").status_code == 503
        login = client.post("/api/v1/login", json={"username": "anna", "password": "some password"})
        assert login.status_code == 503
        assert time.monotonic() - started < 15
        server.start()
        assert client.get("/api/v1/me", headers=bearer(token)).status_code == 200
        assert client.get("/readyz").status_code == 200
        rt.db.close()


def test_figures_count_requests_by_endpoint_and_status(client: Client) -> None:
    def count() -> float:
        text = client.get("/metrics").text
        name = 'crowd_requests_total{endpoint="accounts.show_me",method="GET",status="401"}'
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    before = count()
    client.get("/api/v1/me")
    client.get("/api/v1/me")
    assert count() == before + 2
    assert "crowd_request_seconds_bucket" in client.get("/metrics").text


def test_figures_are_for_this_machine_and_for_admins(
    client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    _, admin = make_worker(Grade.ADMIN)
    _, worker = make_worker(Grade.GENERAL)
    far = {"environ_overrides": {"REMOTE_ADDR": "10.0.0.1"}}
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", **far).status_code == 401
    assert client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 401
    assert client.get("/metrics", headers=bearer(worker), **far).status_code == 403
    assert client.get("/metrics", headers=bearer(admin), **far).status_code == 200


def test_forwarded_address_counts_only_behind_a_trusted_proxy(rt: Runtime) -> None:
    def refused_after_six(environ: dict[str, str]) -> int:
        client = client_of(create_app(rt=rt, environ=environ))
        for number in range(6):
            answer = client.post(
                "/api/v1/login",
                json={"username": f"name-{len(environ)}", "password": "wrong"},
                headers={"X-Forwarded-For": f"10.0.0.{number}"},
            )
        return answer.status_code

    assert refused_after_six({}) == 429
    assert refused_after_six({"CROWD_TRUST_PROXY": "1"}) == 401


@pytest.mark.parametrize("environ", [{"CROWD_TRUST_PROXY": "yes"}, {"CROWD_LOG_LEVEL": "loud"}])
def test_setting_that_cannot_work_is_named(rt: Runtime, environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(environ))):
        create_app(rt=rt, environ=environ)
