"""A simulated crowd against the real system, and its patience with a server that misbehaves."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from crowd.commands.passing_admin import passing_admin
from crowd.simulation.client import Client, Lost, Stopped, Unreachable, open_http
from crowd.simulation.crew import assemble
from crowd.simulation.crowd import recruit
from crowd.simulation.ledger import Ledger, Timed
from crowd.simulation.member import Member, Workshop
from crowd.simulation.truths import Truths
from crowd.simulation.uploads import Uploader
from crowd.simulation.vocabulary import Vocabulary
from crowd.standalone import start_standalone

ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in ("DATABASE_URL", "REDIS_URL", "CROWD_TOKEN")
}


@dataclass(frozen=True)
class System:
    """A running system of the tests' own."""

    url: str
    data_dir: Path

    def crowd(self, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of `crowd` on it."""
        env = {**ENVIRONMENT, "CROWD_DATA_DIR": str(self.data_dir), **environment}
        command = [sys.executable, "-m", "crowd", *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)

    def simulate(self, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run `crowd simulate` on it."""
        return self.crowd("simulate", "--url", self.url, *words, **environment)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    patch = pytest.MonkeyPatch()
    for name in ("DATABASE_URL", "REDIS_URL", "CROWD_DATA_DIR"):
        patch.delenv(name, raising=False)
    data_dir = tmp_path_factory.mktemp("system")
    with start_standalone(data_dir) as url:
        yield System(url, data_dir)
    patch.undo()


@pytest.fixture(scope="module")
def admin_token(system: System) -> str:
    assert system.crowd("workers", "add", "chief", "--grade", "admin").returncode == 0
    return system.crowd("workers", "token", "chief").stdout.split()[-1]


def test_a_crowd_takes_images_through_all_stages_and_a_second_one_finds_fresh_ones(system: System) -> None:
    for run in (1, 2):
        ended = system.simulate("--workers", "8", "--images", "4", "--json", "--timeout", "200")
        assert ended.returncode == 0, ended.stderr
        figures = json.loads(ended.stdout)
        assert sum(figures["images"].values()) == 4, f"run {run}: {figures}"
        accepted = figures["images"].get("accepted", 0)
        assert accepted + figures["blocked"] >= 4
        assert figures["tasks"]["segmentation"] >= 4
        assert figures["tasks"]["second_review"] >= 2 * accepted
        assert figures["equal_to_truth"]["all"] >= 0.5
        assert figures["latency_ms"]["submit"]["p50"] > 0
        assert not figures["errors"]
        assert not any(status.startswith("5") for status in figures["statuses"])


def test_a_crowd_without_work_ends_at_once(system: System, admin_token: str) -> None:
    ended = system.simulate("--workers", "6", "--json", CROWD_TOKEN=admin_token)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["cycles"] == 0


def test_too_few_workers_are_bad_usage(system: System) -> None:
    ended = system.simulate("--workers", "5")
    assert ended.returncode == 2
    assert "at least 6 workers" in ended.stderr


def test_a_token_that_is_no_admins_is_bad_usage(system: System, admin_token: str) -> None:
    unknown = system.simulate("--workers", "6", "--token", "nonsense")
    assert unknown.returncode == 2
    assert "--token" in unknown.stderr
    assert system.crowd("workers", "add", "somebody", "--grade", "general").returncode == 0
    token = system.crowd("workers", "token", "somebody").stdout.split()[-1]
    general = system.simulate("--workers", "6", "--token", token)
    assert general.returncode == 2
    assert "somebody is general" in general.stderr


def test_a_server_that_is_not_there_is_said_plainly(system: System, admin_token: str) -> None:
    ended = system.crowd("simulate", "--workers", "6", "--url", "http://127.0.0.1:9", "--token", admin_token)
    assert ended.returncode == 1
    assert "ConnectError" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_bot_hands_back_what_an_earlier_run_left_in_its_hands(system: System, admin_token: str) -> None:
    stop = threading.Event()
    with open_http(system.url, 4) as http:
        admin = Client(http, admin_token, Ledger(), stop)
        truths = Truths(Vocabulary.read(admin.fetch("/taxonomy")), 99)
        general = [each for each in assemble(6, 99, 0.0) if each.grade == "general"]
        account = recruit(admin, general, 99)[0]
        client = Client(http, account.token, Ledger(), stop)
        Uploader(admin, truths, 99).upload(1, lambda done: None)
        claimed = client.send("POST", "/tasks/claim", json={}).json()
        board = Board()
        member = Member(account, client, Workshop(truths, Ledger(), board, stop, 99, 0.0))
        thread = threading.Thread(target=member.work)
        thread.start()
        assert board.met.wait(20)
        stop.set()
        thread.join(30)
        stop.clear()
        assert claimed["image"]["id"] in board.images
        assert client.fetch("/me")["leases"] == []


def left_behind(system: System) -> tuple[bool, int]:
    """Whether the admin of simulated crowds may work, and how many tokens of theirs are good."""
    with closing(sqlite3.connect(system.data_dir / "crowd.sqlite")) as database:
        (person,) = database.execute(
            "SELECT id, suspended_at IS NULL FROM workers WHERE username = 'simulation-admin'"
        ).fetchall()
        good = "SELECT count(*) FROM api_tokens WHERE worker_id = ? AND revoked_at IS NULL"
        return bool(person[1]), database.execute(good, person[:1]).fetchone()[0]


def test_nobody_can_use_the_admin_of_a_run_after_it(system: System, admin_token: str) -> None:
    # Whether it comes to an end is another matter: a crowd that was broken off may have left work behind.
    assert "bots taken on" in system.simulate("--workers", "6", "--json").stderr
    assert left_behind(system) == (False, 0)
    away = system.crowd("simulate", "--workers", "6", "--url", "http://127.0.0.1:9")
    assert away.returncode == 1
    assert left_behind(system) == (False, 0), "not even where the system could not be reached"


def test_the_admin_of_a_run_stays_while_another_run_works(
    system: System, admin_token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROWD_DATA_DIR", str(system.data_dir))
    with passing_admin() as other:
        assert "bots taken on" in system.simulate("--workers", "6", "--json").stderr
        assert left_behind(system) == (True, 1)
        with open_http(system.url, 1) as http:
            assert Client(http, other, Ledger(), threading.Event()).fetch("/me")["grade"] == "admin"
    assert left_behind(system) == (False, 0)


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_broken_off_leaves_no_admin_either(
    system: System, admin_token: str, asked: signal.Signals
) -> None:
    env = {**ENVIRONMENT, "CROWD_DATA_DIR": str(system.data_dir)}
    words = ["simulate", "--url", system.url, "--workers", "6", "--images", "40", "--think", "1"]
    with subprocess.Popen(
        [sys.executable, "-m", "crowd", *words], env=env, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        # Said once everybody was taken on, so by then there is an admin.
        assert any("bots taken on" in line for line in run.stderr)
        assert left_behind(system) == (True, 1)
        run.send_signal(asked)
        _, said = run.communicate(timeout=60)
    assert run.returncode not in (0, None)
    assert "Traceback" not in said
    assert left_behind(system) == (False, 0)


@dataclass
class Board:
    """Remembers which images a bot came across."""

    images: set[int] = field(default_factory=set)
    met: threading.Event = field(default_factory=threading.Event)

    def saw(self, image_id: int) -> None:
        self.images.add(image_id)
        self.met.set()

    def may_be_settled(self) -> None:
        pass


@dataclass
class Script:
    """What a server of the tests' own answers, one after the other: a status, or None to hang up."""

    answers: list[int | None]
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def script() -> Script:
    return Script([])


@pytest.fixture
def client(script: Script) -> Iterator[Client]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.asked.append(self.path)
            status = script.answers.pop(0)
            if status is None:
                return
            self.send_response(status)
            self.send_header("Retry-After", "0.1")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", trust_env=False) as http:
        yield Client(http, "token", Ledger(), threading.Event(), patience=5.0)
    server.shutdown()
    server.server_close()


def test_a_busy_server_is_asked_again(client: Client, script: Script) -> None:
    script.answers = [503, 429, 200]
    assert client.send("POST", "/tasks/1/submit", json={}).status_code == 200
    assert len(script.asked) == 3


def test_an_answer_that_got_lost_is_asked_for_again(client: Client, script: Script) -> None:
    script.answers = [None, 200]
    assert client.send("POST", "/tasks/1/submit", json={}, timed=Timed.SUBMIT).status_code == 200
    assert len(script.asked) == 2


def test_a_claim_whose_answer_got_lost_is_not_sent_twice(client: Client, script: Script) -> None:
    script.answers = [None, 200]
    with pytest.raises(Lost):
        client.send("POST", "/tasks/claim", json={}, repeatable=False)
    assert len(script.asked) == 1


def test_patience_ends(client: Client, script: Script) -> None:
    script.answers = [503] * 200
    impatient = Client(client._http, "token", Ledger(), threading.Event(), patience=0.5)
    with pytest.raises(Unreachable, match="503"):
        impatient.send("POST", "/tasks/claim", json={})
    assert len(script.asked) < 20


def test_whoever_waits_stops_at_once_when_told_to(client: Client, script: Script) -> None:
    script.answers = [503] * 200
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        Client(client._http, "token", Ledger(), stop).send("POST", "/tasks/claim", json={})
