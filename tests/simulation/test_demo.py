"""`crowd demo`: from nothing to an exported data set, and again without doing anything twice."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crowd.commands.demo import free_port
from crowd.datasets.check import check_export
from tests.core.processes import eventually, is_alive

SMALL = ["--images", "3", "--workers", "8"]
SECONDS = 240.0


def _start(data_dir: Path, *words: str) -> "subprocess.Popen[str]":
    port = free_port(18000)
    command = [
        sys.executable,
        "-m",
        "crowd",
        "demo",
        *SMALL,
        "--data-dir",
        str(data_dir),
        "--port",
        str(port),
    ]
    return subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _wait_for(process: "subprocess.Popen[str]", words: str) -> None:
    assert process.stdout is not None
    deadline = time.monotonic() + SECONDS
    said = []
    while time.monotonic() < deadline and (line := process.stdout.readline()):
        said.append(line)
        if words in line:
            return
    pytest.fail("".join(said))


def test_a_demo_ends_with_a_sound_export_and_a_second_one_does_nothing_twice(tmp_path: Path) -> None:
    first = _start(tmp_path, "--once")
    said, _ = first.communicate(timeout=SECONDS)
    assert first.returncode == 0, said
    for layout in ("guideline", "release"):
        report = check_export(tmp_path / "export" / f"demo-1-{layout}")
        assert report.problems == []
        assert report.images >= 1
    logins = tmp_path / "logins.txt"
    assert logins.stat().st_mode & 0o777 == 0o600
    assert "demo-expert" in logins.read_text()
    before = logins.read_text()

    # As if the first start had been cut off in the middle of its second export.
    (tmp_path / "export" / "demo-1-release" / "manifest.csv").unlink()
    second = _start(tmp_path)
    _wait_for(second, "serving until Ctrl-C")
    web = int((tmp_path / "web.pid").read_text())
    assert is_alive(web)
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=60)
    assert second.returncode == 0
    assert eventually(lambda: not is_alive(web))
    assert logins.read_text() == before
    assert (tmp_path / "export" / "demo-1-release" / "manifest.csv").is_file()
    assert sorted(os.listdir(tmp_path / "export")) == ["demo-1-guideline", "demo-1-release"]


def test_ctrl_c_in_the_middle_of_the_work_leaves_nothing_running(tmp_path: Path) -> None:
    demo = _start(tmp_path, "--once")
    _wait_for(demo, "bots take")
    web = int((tmp_path / "web.pid").read_text())
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=120)
    assert demo.returncode == 130
    assert eventually(lambda: not is_alive(web))


def test_a_taken_port_gives_way_to_the_next_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert free_port(taken) > taken
