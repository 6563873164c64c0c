"""The supervisor, run in a process of its own over real children."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crowd.core.supervisor import AlreadyRunning, Child, ChildFailed, Supervisor, exclusive, restart_delay
from tests.core.processes import eventually, is_alive

# Runs a supervisor over Python snippets: its argument is a JSON list of [name, snippet].
SUPERVISE = """
import json, os, sys
from pathlib import Path
from crowd.core.supervisor import Child, Supervisor
children = [
    Child(name, [sys.executable, "-c", code], os.environ, pid_file=Path(f"{name}.pid"))
    for name, code in json.loads(sys.argv[1])
]
Supervisor(children, stop_seconds=float(sys.argv[2])).run(lambda: Path("ready").touch())
"""
SLEEPS = "import time; time.sleep(60)"
NOTES_ITS_END = """
import signal, sys, time
def end(number, frame):
    with open("ends", "a") as file: file.write("NAME ")
    sys.exit()
signal.signal(signal.SIGTERM, end)
open("NAME.up", "w").close()
time.sleep(60)
"""
IGNORES_TERM = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("deaf.up", "w").close()
time.sleep(60)
"""
HAS_A_FORK = """
import os, time
if os.fork() == 0:
    os.setpgrp()
    with open("fork.new", "w") as file: file.write(str(os.getpid()))
    os.rename("fork.new", "fork.pid")
time.sleep(60)
"""

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def supervise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a supervisor in `tmp_path` (the working folder) over named snippets; ends it afterwards."""
    running = []
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.chdir(tmp_path)

    def start(stop_seconds: float = 5.0, **snippets: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", SUPERVISE, json.dumps(list(snippets.items())), str(stop_seconds)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        running.append(process)
        assert eventually(Path("ready").exists)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def _pid(name: str) -> int:
    return int(Path(f"{name}.pid").read_text())


def test_a_killed_child_is_started_again_and_its_pid_file_follows(supervise: Start) -> None:
    supervisor = supervise(web=SLEEPS, jobs=SLEEPS)
    web, jobs = _pid("web"), _pid("jobs")
    os.kill(web, signal.SIGKILL)
    assert eventually(lambda: _pid("web") != web)
    assert is_alive(_pid("web"))
    assert _pid("jobs") == jobs
    supervisor.terminate()
    _, errors = supervisor.communicate(timeout=10)
    assert b"web was killed by signal 9; starting it again in 0.2 s" in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_stops_all_in_reverse_order(supervise: Start, number: signal.Signals) -> None:
    names = ["redis", "web", "jobs"]
    supervisor = supervise(**{name: NOTES_ITS_END.replace("NAME", name) for name in names})
    assert eventually(lambda: all(Path(f"{name}.up").exists() for name in names))
    supervisor.send_signal(number)
    assert supervisor.wait(10) == 0
    assert Path("ends").read_text().split() == ["jobs", "web", "redis"]
    assert not list(Path().glob("*.pid")), "a process id that is no longer true"


def test_killing_the_supervisor_leaves_no_child(supervise: Start) -> None:
    supervisor = supervise(web=IGNORES_TERM, jobs=SLEEPS)
    pids = [_pid("web"), _pid("jobs")]
    supervisor.kill()
    assert eventually(lambda: not any(is_alive(pid) for pid in pids))


def test_a_child_deaf_to_term_is_killed_after_its_time(supervise: Start) -> None:
    supervisor = supervise(stop_seconds=0.3, deaf=IGNORES_TERM)
    assert eventually(Path("deaf.up").exists)
    pid = _pid("deaf")
    supervisor.terminate()
    _, errors = supervisor.communicate(timeout=5)
    assert b"deaf does not stop: killing it" in errors
    assert not is_alive(pid)


def test_a_second_ctrl_c_does_not_wait(supervise: Start) -> None:
    supervisor = supervise(stop_seconds=60, deaf=IGNORES_TERM)
    assert eventually(Path("deaf.up").exists)
    supervisor.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert supervisor.poll() is None
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(5) == 0


@pytest.mark.parametrize("ended", ["supervisor", "child"])
def test_a_fork_in_a_group_of_its_own_goes_with_its_child(supervise: Start, ended: str) -> None:
    supervisor = supervise(jobs=HAS_A_FORK)
    assert eventually(Path("fork.pid").exists)
    fork = _pid("fork")
    if ended == "supervisor":
        supervisor.terminate()
    else:
        os.kill(_pid("jobs"), signal.SIGKILL)
    assert eventually(lambda: not is_alive(fork))


def test_the_delay_grows_from_a_fifth_of_a_second_to_five() -> None:
    assert [restart_delay(deaths) for deaths in (1, 2, 3, 5, 6, 5000)] == [0.2, 0.4, 0.8, 3.2, 5.0, 5.0]


def test_a_child_waits_until_the_one_before_it_is_ready(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    slow = f"import time; time.sleep(0.3); open({str(mark)!r}, 'w').close(); time.sleep(60)"
    seen = f"import os, sys; sys.exit(0 if os.path.exists({str(mark)!r}) else 7)"
    children = [
        Child("first", [sys.executable, "-c", slow], os.environ, ready=mark.exists),
        Child("second", [sys.executable, "-c", seen], os.environ, ready=lambda: False),
    ]
    with pytest.raises(ChildFailed, match="second ended with exit code 0 before it was ready"):
        Supervisor(children).run()


def test_a_child_that_cannot_come_up_stops_the_others() -> None:
    first = Child("first", [sys.executable, "-c", SLEEPS], os.environ, pid_file=None)
    silent = Child("silent", [sys.executable, "-c", SLEEPS], os.environ, lambda: False, ready_seconds=0.2)
    missing = Child("missing", ["no-such-program"], os.environ)
    with pytest.raises(ChildFailed, match=r"silent was not ready within 0\.2 s"):
        Supervisor([first, silent]).run()
    with pytest.raises(ChildFailed, match="missing cannot be started"):
        Supervisor([first, missing]).run()
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert not [pid for pid in children if b"time.sleep(60)" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_only_one_process_holds_the_lock_and_the_other_learns_which(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    held = pytest.raises(AlreadyRunning, match=f"process {os.getpid()} holds")
    with exclusive(lock), held, exclusive(lock):
        pass
    with exclusive(lock):
        pass
