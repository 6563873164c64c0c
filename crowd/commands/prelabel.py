"""`crowd prelabel`: what a job worker of the queue `candidates` does, by hand."""

import signal
import threading
from functools import partial
from importlib import import_module
from typing import Any

import click
from rich.progress import Progress, TaskID

from crowd.commands.opening import open_runtime
from crowd.commands.showing import progress_bar
from crowd.core import clock
from crowd.core.errors import Problem
from crowd.core.logs import configure_logs
from crowd.ml import extra, pending, queries, service
from crowd.policy import Stage
from crowd.runtime import Runtime
from crowd.tasks.flow import LABELLING

REST_SECONDS = 2.0
MOST_SHOWN = 20


@click.command()
@click.option("--once", is_flag=True, help="End when nothing is pending; otherwise wait for more.")
@click.option("--limit", type=click.IntRange(1), help="Tasks at most; ends then too.")
@click.option("--batch", type=click.IntRange(1, 4096), help="Units the net takes at once; found by itself.")
@click.option("--device", help="cpu, cuda, cuda:1; the best there is without it.")
@click.option("--decoders", type=click.IntRange(1, 256), help="Threads that decode; one for each core.")
@click.option("--stage", type=click.Choice([stage.value for stage in LABELLING]), help="This stage alone.")
@click.option("--retry", is_flag=True, help="Also try those again that were given up.")
def prelabel(
    once: bool,
    limit: int | None,
    batch: int | None,
    device: str | None,
    decoders: int | None,
    stage: str | None,
    retry: bool,
) -> None:
    """Make candidates for pending tasks with the models that serve.

    It may be interrupted, killed, and run beside job workers: they share what is pending.
    """
    extra.require()
    configure_logs("warning")
    stages = (Stage(stage),) if stage else LABELLING
    with open_runtime() as rt:
        _check(rt, stages, once=once, retry=retry)
        make_line = import_module("crowd.ml.prelabel").Line
        line = make_line(rt, device=_device(device), batch=batch, decoders=decoders)
        try:
            made, failed = _work(line, stages, limit, once=once)
        finally:
            line.close()
        _tell(rt, stages)
    click.echo(f"{made} tasks have candidates now, {failed} attempts failed")


def _device(name: str | None) -> str | None:
    """The device of that name. Raises Problem for one that is not here."""
    if name is None:
        return None
    torch: Any = import_module("torch")
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise Problem("no_device", f"--device {name}: {str(error).splitlines()[0]}") from None
    return name


def _check(rt: Runtime, stages: tuple[Stage, ...], *, once: bool, retry: bool) -> None:
    with rt.db.read() as conn:
        served = [row for row in queries.served(conn) if row.model_id is not None and row.stage in stages]
    if not served and once:
        raise Problem("no_model", "No model serves; see `crowd model add` and `crowd model promote`.")
    for row in served if retry else ():
        with rt.db.begin() as conn:
            pending.try_again(conn, row.model_id, clock.now())


def _work(line: Any, stages: tuple[Stage, ...], limit: int | None, *, once: bool) -> tuple[int, int]:
    """Run the line until it is done, or told to stop by Ctrl-C or SIGTERM; how many were made, and failed."""
    stop = threading.Event()
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, lambda *_: stop.set()) for kind in kinds]
    made = failed = 0
    try:
        with progress_bar() as bar:
            step = bar.add_task("Making candidates", total=limit)
            while True:
                left = None if limit is None else limit - made - failed
                show = partial(_show, bar, step, made)
                tally = line.run(stages, limit=left, stop=stop, progress=show)
                made, failed = made + tally.made, failed + tally.failed
                if once or stop.is_set() or made + failed == limit:
                    return made, failed
                stop.wait(REST_SECONDS)
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


def _show(bar: Progress, step: TaskID, before: int, tally: Any) -> None:
    bar.update(step, completed=before + tally.made)


def _tell(rt: Runtime, stages: tuple[Stage, ...]) -> None:
    """Name the tasks that nobody tries any more, on stderr."""
    with rt.db.read() as conn:
        for row in queries.served(conn):
            if row.model_id is None or row.stage not in stages:
                continue
            for job in pending.given_up(conn, row.model_id, MOST_SHOWN):
                name = service.title(row.name, row.version)
                click.echo(f"task {job.task_id}: no candidates of {name}: {job.error}", err=True)
