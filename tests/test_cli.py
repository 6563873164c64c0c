"""The command line, as a person at the machine uses it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from crowd.cli import COMMANDS, main
from crowd.core.config import Settings, SettingsError
from crowd.policy import Grade
from crowd.webserver import gunicorn_command
from tests.kinds import Bearer, Client, MakeWorker

Crowd = Callable[..., Result]


@pytest.fixture
def crowd(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Crowd:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("CROWD_DATA_DIR", str(tmp_path / "data"))
    return lambda *words: CliRunner().invoke(main, list(words))


def test_password_is_the_last_word_and_works(crowd: Crowd, client: Client) -> None:
    made = crowd("workers", "add", "김민지", "--grade", "admin")
    assert made.exit_code == 0
    login = {"username": "김민지", "password": made.stdout.split()[-1]}
    assert client.post("/api/v1/login", json=login).json["grade"] == "admin"


def test_token_is_the_last_word_and_works(crowd: Crowd, client: Client, bearer: Bearer) -> None:
    crowd("workers", "add", "anna", "--grade", "general")
    made = crowd("workers", "token", "anna")
    assert client.get("/api/v1/me", headers=bearer(made.stdout.split()[-1])).json["username"] == "anna"


def test_people_are_listed_regraded_suspended_reinstated_and_erased(
    crowd: Crowd, make_worker: MakeWorker
) -> None:
    worker_id, _ = make_worker(Grade.GENERAL, name="anna")
    assert crowd("workers", "grade", "anna", "expert", "--reason", "good").exit_code == 0
    assert crowd("workers", "suspend", "anna", "--reason", "leave").exit_code == 0
    assert crowd("workers", "list").stdout.split() == [str(worker_id), "expert", "suspended", "anna"]
    assert crowd("workers", "reinstate", "anna", "--reason", "back").exit_code == 0
    assert crowd("workers", "list", "--grade", "expert").stdout.split()[2] == "active"
    assert crowd("workers", "list", "--grade", "general").stdout == ""
    assert crowd("workers", "erase", "anna", "--reason", "asked").exit_code == 0
    assert crowd("workers", "list").stdout.split()[2:] == ["erased", f"erased-{worker_id}"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("workers", "add", "boss", "--grade", "general"), "taken"),
        (("workers", "add", "two words", "--grade", "general"), "username"),
        (("workers", "add", "anna", "--grade", "king"), "king"),
        (("workers", "token", "nobody"), "nobody"),
        (("workers", "suspend", "boss", "--reason", "r"), "last admin"),
        (("workers", "suspend", "boss", "--reason", " "), "reason"),
        (("workers", "suspend", "boss"), "--reason"),
    ],
)
def test_refusal_is_said_on_stderr_with_exit_code_2(
    crowd: Crowd, make_worker: MakeWorker, words: tuple[str, ...], said: str
) -> None:
    make_worker(Grade.ADMIN, name="boss")
    result = crowd(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://x"),
        ("CROWD_LEASE_SECONDS", "soon"),
        ("CROWD_POLICY", "/nowhere.yaml"),
        ("CROWD_TAXONOMY", "/nowhere.yaml"),
        ("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing"),
        ("DATABASE_URL", "sqlite:////nowhere/at/all.sqlite"),
    ],
)
def test_setting_that_cannot_work_is_named_with_exit_code_2(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    result = crowd("workers", "list")
    assert (result.exit_code, result.stdout) == (2, "")
    assert name in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.own_database
def test_migrations_go_down_and_up_again(crowd: Crowd) -> None:
    assert "(the newest)" in crowd("db", "current").stdout
    assert crowd("db", "downgrade", "base").exit_code == 0
    assert "no migration" in crowd("db", "current").stdout
    assert "(the newest)" in crowd("db", "upgrade").stdout


@pytest.mark.own_database
def test_database_that_is_not_migrated_is_refused_unless_embedded(crowd: Crowd, database_url: str) -> None:
    crowd("db", "downgrade", "base")
    result = crowd("workers", "list")
    if database_url.startswith("sqlite"):
        assert result.exit_code == 0
    else:
        assert result.exit_code == 2
        assert "crowd db upgrade" in result.stderr


def test_first_command_on_a_fresh_data_dir_sets_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("CROWD_DATA_DIR", str(tmp_path / "new"))
    result = CliRunner().invoke(main, ["workers", "add", "anna", "--grade", "admin"])
    assert result.exit_code == 0
    assert (tmp_path / "new" / "crowd.sqlite").exists()


def test_help_names_every_command_and_imports_none() -> None:
    code = (
        "import sys; from crowd.cli import main; main(['--help'], standalone_mode=False); "
        "print([name for name in sys.modules if name in ('flask', 'sqlalchemy', 'PIL', 'redis')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in COMMANDS)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_imported(name: str) -> None:
    assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0


def test_web_process_is_told_what_the_environment_says(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    monkeypatch.setenv("CROWD_WEB_THREADS", "5")
    command = " ".join(gunicorn_command(settings, "::1", 8080, os.environ))
    assert "--bind [::1]:8080" in command
    assert "--threads 5" in command
    assert f"--workers {1 if settings.is_sqlite else 3} " in command
    monkeypatch.setenv("CROWD_WEB_THREADS", "many")
    with pytest.raises(SettingsError, match="CROWD_WEB_THREADS"):
        gunicorn_command(settings, "::1", 8080, os.environ)
