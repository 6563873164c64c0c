"""`crowd serve`: the production web process."""

import os
import sys

import click

from crowd.core.config import load_settings
from crowd.runtime import build_runtime
from crowd.webserver import gunicorn_command, shared_metrics


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
    command = gunicorn_command(settings, host, port, os.environ)
    environ = os.environ | shared_metrics(settings.data_dir, os.environ)
    sys.stdout.flush()
    os.execve(command[0], command, environ)  # noqa: S606 - no shell is meant
