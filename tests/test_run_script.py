"""`./run` on a small project of its own: real environments and a real pip, but nothing to download."""

import importlib.machinery
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.core.processes import eventually, is_alive

SCRIPT = Path(__file__).parents[1] / "run"

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
# Builds an editable wheel with one command, `crowd`, that prints its arguments.
BACKEND = """
import os, time, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    while os.path.exists("hold"):
        time.sleep(0.05)
    if os.path.exists("broken"):
        raise SystemExit("the build is broken on purpose")
    info = "crowd-1.dist-info"
    files = {
        "crowd_cli.py": "import sys\\ndef main(): print('crowd', *sys.argv[1:])\\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\\nName: crowd\\nVersion: 1\\nProvides-Extra: dev\\n"
        "Provides-Extra: demo\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        f"{info}/entry_points.txt": "[console_scripts]\\ncrowd = crowd_cli:main\\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(f"{folder}/crowd-1-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return "crowd-1-py3-none-any.whl"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which `./run setup` was started twice at once over a half-made `.venv`; outputs kept."""
    root = tmp_path_factory.mktemp("project")
    shutil.copy2(SCRIPT, root / "run")
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "constraints.txt").write_text("")
    (root / "backend.py").write_text(BACKEND)
    (root / ".venv").mkdir()
    (root / ".venv" / "setup-stamp").write_text("unfinished")
    (root / ".venv" / "half a package").touch()
    both = [_start(root, "setup") for _ in range(2)]
    for number, process in enumerate(both):
        (root / f"output-{number}").write_text(process.communicate(timeout=120)[0])
        (root / f"code-{number}").write_text(str(process.returncode))
    return root


@pytest.fixture
def project(made: Path) -> Iterator[Path]:
    """The project, set up; what a test changes in it is put back."""
    stamp = made / ".venv" / "setup-stamp"
    before = stamp.read_text()
    yield made
    stamp.write_text(before)
    for name in ("hold", "broken"):
        (made / name).unlink(missing_ok=True)
    (made / "constraints.txt").write_text("")


def _start(root: Path, *arguments: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PIP_NO_INDEX": "1"}
    return subprocess.Popen(
        [sys.executable, "./run", *arguments],
        cwd=root,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _run(root: Path, *arguments: str) -> tuple[int, str]:
    process = _start(root, *arguments)
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def _script() -> ModuleType:
    """The script as a module; its name has no ending."""
    loader = importlib.machinery.SourceFileLoader("run_script", str(SCRIPT))
    spec = importlib.util.spec_from_loader("run_script", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["run_script"] = module
    loader.exec_module(module)
    return module


def _script_in(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module that takes `root` for its project."""
    script = _script()
    venv = root / ".venv"
    for name, path in {
        "ROOT": root,
        "VENV": venv,
        "BIN": venv / "bin",
        "STAMP": venv / "setup-stamp",
    }.items():
        monkeypatch.setattr(script, name, path)
    return script


def test_of_two_setups_at_once_one_waits_and_finds_all_done(made: Path) -> None:
    outputs = [(made / f"output-{number}").read_text() for number in range(2)]
    assert [(made / f"code-{number}").read_text() for number in range(2)] == ["0", "0"], outputs
    waited = [output for output in outputs if "another set-up is at work here" in output]
    worked = [output for output in outputs if "set-up done" in output]
    assert len(waited) == 1
    assert len(worked) == 1
    assert "set-up unchanged" in waited[0]
    for step in ("1/3 making .venv", "2/3 upgrading pip", "3/3 installing packages"):
        assert step in worked[0]


def test_a_half_made_environment_is_replaced(made: Path) -> None:
    assert not (made / ".venv" / "half a package").exists()


def test_a_second_setup_is_quick(project: Path) -> None:
    started = time.monotonic()
    code, output = _run(project, "setup")
    assert code == 0
    assert output.startswith("set-up unchanged")
    assert time.monotonic() - started < 2


def test_demo_hands_its_arguments_to_crowd(project: Path) -> None:
    assert _run(project, "demo", "--once", "--port", "5") == (0, "crowd demo --once --port 5\n")


def test_changed_pins_are_installed_into_the_same_environment(project: Path) -> None:
    mark = project / ".venv" / "mark"
    mark.touch()
    (project / "constraints.txt").write_text("anything==1\n")
    code, output = _run(project, "setup")
    assert code == 0
    assert "3/3 installing packages" in output
    assert mark.exists()


def test_a_failing_pip_shows_what_it_wrote_and_is_no_finished_setup(project: Path) -> None:
    (project / "broken").touch()
    (project / "constraints.txt").write_text("other==1\n")
    code, output = _run(project, "setup")
    assert code == 1
    assert "set-up failed: 3/3 installing packages" in output
    assert "the build is broken on purpose" in output
    assert 'Traceback (most recent call last):\n  File "./run"' not in output
    assert (project / ".venv" / "setup-stamp").read_text() == "unfinished"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_setup_ends_quietly_with_its_pip(
    project: Path, number: signal.Signals, code: int
) -> None:
    (project / "hold").touch()
    (project / "constraints.txt").write_text(f"interrupted=={number}\n")
    process = _start(project, "setup")
    assert eventually(lambda: bool(_installing(process.pid)), 60)
    pips = _installing(process.pid)
    process.send_signal(number)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Traceback" not in output
    assert eventually(lambda: not any(is_alive(pid) for pid in pips))
    assert (project / ".venv" / "setup-stamp").read_text() == "unfinished"


def _installing(parent: int) -> list[int]:
    """Process ids of the parent's pip that installs the project itself."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in children if b"-e\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_only_a_finished_environment_of_this_folder_and_python_is_used_again(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = _script_in(project, monkeypatch)
    stamp = script.STAMP.read_text()
    assert script.usable(stamp)
    assert script.usable(None), "made by hand"
    assert not script.usable("unfinished")
    assert not script.usable(stamp.replace(sys.version.split()[0], "3.11.0rc1"))
    moved = tmp_path / "moved"
    shutil.copytree(project, moved, symlinks=True)
    script = _script_in(moved, monkeypatch)
    assert not script.usable(stamp), "its scripts point to the old folder"


def test_a_python_without_ensurepip_is_told_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = _script_in(tmp_path, monkeypatch)
    for name in script.INPUTS:
        (tmp_path / name).touch()
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        script.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else find_spec(name)
    )
    assert script.main(["setup"]) == 1
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"apt install python{version}-venv" in capsys.readouterr().err
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_every_check_runs_and_one_failure_fails_the_whole(capfd: pytest.CaptureFixture[str]) -> None:
    script = _script()
    python = sys.executable
    bad = script.Step("bad", [python, "-c", "raise SystemExit(3)"])
    good = script.Step("good", [python, "-c", "print('good ran')"])
    assert script.run_steps([bad, good]) == 1
    output = capfd.readouterr().out
    assert "good ran" in output
    summary = [line.split()[:2] for line in output.partition("summary\n")[2].splitlines()]
    assert summary == [["FAILED", "bad"], ["passed", "good"]]
    assert script.run_steps([good]) == 0


def test_pytest_runs_in_two_processes_unless_told_what_to_run() -> None:
    script = _script()
    assert script.checks([])[-1].command[-8:-3] == ["pytest", "-n", "2", "--dist", "loadfile"]
    assert script.checks(["tests/core", "-x"])[-1].command[-3:] == ["pytest", "tests/core", "-x"]
    assert [step.name for step in script.checks([])] == ["lint", "format", "types", "imports", "tests"]


@pytest.mark.parametrize("arguments", [["fly"], ["setup", "now"]])
def test_an_unknown_command_is_refused_with_the_help(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _script().main(arguments) == 2
    assert "usage: ./run COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_is_printed_without_setting_anything_up(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _script().main(arguments) == 0
    assert "usage: ./run COMMAND" in capsys.readouterr().out
