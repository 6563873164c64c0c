"""`crowd prelabel`: what a job worker of the queue `candidates` does, by hand."""

import signal
import threading
import time
from importlib import import_module
from typing import Any

import click

from crowd.commands.opening import open_runtime
from crowd.commands.showing import progress_bar
from crowd.core import clock
from crowd.core.errors import Problem
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
    stages = (Stage(stage),) if stage else LABELLING
    with open_runtime() as rt:
        _check(rt, stages, once=once, retry=retry)
        line = import_module("crowd.ml.prelabel").Line(
            rt, device=_device(device), batch=batch, decoders=decoders
        )
        try:
            tally = _work(line, stages, limit, once=once)
        finally:
            line.close()
        _tell(rt, stages)
    click.echo(f"{tally.made} tasks have candidates now, {tally.failed} attempts failed")


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


def _work(line: Any, stages: tuple[Stage, ...], limit: int | None, *, once: bool) -> Any:
    """Run the line until it is done or told to stop (Ctrl-C and SIGTERM end it after the present batch)."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with progress_bar() as bar:
            step = bar.add_task("Making candidates", total=limit)
            total = line.run(
                stages, limit=limit, stop=stop, progress=lambda now: bar.update(step, completed=now.made)
            )
            while not (once or stop.is_set() or _is_enough(total, limit)):
                time.sleep(REST_SECONDS)
                left = None if limit is None else limit - total.made - total.failed
                so_far = total.made
                more = line.run(
                    stages,
                    limit=left,
                    stop=stop,
                    progress=lambda now, so_far=so_far: bar.update(step, completed=so_far + now.made),
                )
                total.made, total.failed = total.made + more.made, total.failed + more.failed
            return total
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_enough(tally: Any, limit: int | None) -> bool:
    return limit is not None and tally.made + tally.failed >= limit


def _tell(rt: Runtime, stages: tuple[Stage, ...]) -> None:
    """Name the tasks that nobody tries any more, on stderr."""
    with rt.db.read() as conn:
        for row in queries.served(conn):
            if row.model_id is None or row.stage not in stages:
                continue
            for job in pending.given_up(conn, row.model_id, MOST_SHOWN):
                name = service.title(row.name, row.version)
                click.echo(f"task {job.task_id}: no candidates of {name}: {job.error}", err=True)
