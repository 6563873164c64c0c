"""`crowd serve`: the production web process."""

import os
import shutil
import sys
from pathlib import Path

import click

from crowd.core.config import Settings, SettingsError, load_settings
from crowd.runtime import build_runtime

DEFAULT_THREADS = "8"
DEFAULT_PROCESSES = "2"


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
def serve(host: str, port: int) -> None:
    """Run the web process (gunicorn), configured by environment.

    WEB_CONCURRENCY: processes (2; one on SQLite). CROWD_WEB_THREADS: threads of each (8).
    Gunicorn's own GUNICORN_CMD_ARGS is heeded too.
    """
    settings = load_settings()
    # A mistake in the settings is told here, once, and not by every process that fails to come up.
    build_runtime(settings).db.close()
    command = gunicorn_command(settings, host, port)
    _share_metrics(settings.data_dir / "metrics")
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - no shell is meant


def _share_metrics(folder: Path) -> None:
    """Have the processes add their figures up in `folder`, unless the environment names another."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        return
    # What processes of an earlier run left would be counted again.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


def gunicorn_command(settings: Settings, host: str, port: int) -> list[str]:
    """The command line of gunicorn for these settings and the environment. Raises SettingsError."""
    threads = os.environ.get("CROWD_WEB_THREADS") or DEFAULT_THREADS
    processes = os.environ.get("WEB_CONCURRENCY") or DEFAULT_PROCESSES
    for name, value in (("CROWD_WEB_THREADS", threads), ("WEB_CONCURRENCY", processes)):
        if not value.isascii() or not value.isdigit() or int(value) < 1:
            raise SettingsError(f"{name}: a whole number of at least 1 is needed, not {value!r}")
    options = {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "worker-class": "gthread",
        # SQLite has one writer at a time: a second process would only wait for the first.
        "workers": "1" if settings.is_sqlite else processes,
        "threads": threads,
        "graceful-timeout": "20",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return [sys.executable, "-m", "gunicorn", *words, "--no-control-socket", "crowd.app:create_app()"]
