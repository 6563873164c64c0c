"""`crowd standalone`: the whole system on one machine."""

import os
import sys
from pathlib import Path

import click

from crowd.core.config import DEFAULT_DATA_DIR
from crowd.standalone import run_standalone


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: a free one.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where everything is kept; else CROWD_DATA_DIR, else ./crowd-data.",
)
def standalone(host: str, port: int, data_dir: Path | None) -> None:
    """Run database, queue, web and job workers; Ctrl-C stops all."""
    place = data_dir or Path(os.environ.get("CROWD_DATA_DIR") or DEFAULT_DATA_DIR)
    sys.exit(run_standalone(place, port, host))
