"""How the web process is started: gunicorn's command line, and the folder in which metrics add up."""

import os
import shutil
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from flask import Flask

from crowd.core.config import Settings, SettingsError
from crowd.core.loading import keep_for_good, loading

METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
DEFAULT_THREADS = "8"
DEFAULT_PROCESSES = "2"
HEARTBEAT_FOLDER = "/dev/shm"


def gunicorn_command(
    settings: Settings, host: str, port: int, environ: Mapping[str, str], *, patience: int = 20
) -> list[str]:
    """Gunicorn's command line for these settings; a request may take `patience` seconds to end on a stop.

    `environ`: WEB_CONCURRENCY (processes) and CROWD_WEB_THREADS (threads of each). Raises SettingsError.
    """
    threads = environ.get("CROWD_WEB_THREADS") or DEFAULT_THREADS
    processes = environ.get("WEB_CONCURRENCY") or DEFAULT_PROCESSES
    for name, value in (("CROWD_WEB_THREADS", threads), ("WEB_CONCURRENCY", processes)):
        if not value.isascii() or not value.isdigit() or int(value) < 1:
            raise SettingsError(f"{name}: a whole number of at least 1 is needed, not {value!r}")
    options = {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "worker-class": "gthread",
        # SQLite has one writer at a time: a second process would only wait for the first.
        "workers": "1" if settings.is_sqlite else processes,
        "threads": threads,
        "graceful-timeout": str(patience),
        "log-level": "warning",
    }
    if os.access(HEARTBEAT_FOLDER, os.W_OK):
        # The heartbeat file on a slow disk can block a worker until it is taken for dead.
        options["worker-tmp-dir"] = HEARTBEAT_FOLDER
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return [sys.executable, "-m", "gunicorn", *words, "--no-control-socket", "crowd.webserver:application()"]


def application() -> Flask:
    """The application as a web process has it, configured by the environment. Raises as `create_app` does."""
    with loading():
        # Imported now: whoever only asks for the command line need not wait for it.
        app: Flask = import_module("crowd.app").create_app()
    keep_for_good()
    return app


def shared_metrics(data_dir: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """What the web processes need to add their figures up: a fresh folder, unless `environ` names one."""
    if METRICS_VARIABLE in environ:
        return {}
    folder = data_dir / "metrics"
    # What processes of an earlier run left would be counted again.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return {METRICS_VARIABLE: str(folder)}
