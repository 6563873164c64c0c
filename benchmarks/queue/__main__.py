"""`python -m benchmarks.queue`: builds the queues, measures what was asked for, and ends with one table."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks.queue import web
from benchmarks.queue.build import Built, built
from benchmarks.queue.figures import Figure, parse_size, size_name, table
from benchmarks.queue.parts import BY_SIZE, PARTS
from benchmarks.queue.web import Length

# Parts with traffic run on the largest queue up to this size: beyond it they would only take longer to build.
MOST_FOR_TRAFFIC = 1_000_000
ROUNDS = 5

console = Console(stderr=True)


def _sizes(_ctx: Any, _param: Any, text: str) -> list[int]:
    try:
        return sorted({parse_size(word) for word in text.split(",")})
    except ValueError:
        raise click.BadParameter("sizes are written 10k,1M,8M") from None


def _parts(_ctx: Any, _param: Any, text: str) -> list[str]:
    names = text.split(",")
    if unknown := sorted(set(names) - set(PARTS) - set(BY_SIZE)):
        raise click.BadParameter(f"there is no part {', '.join(unknown)}")
    return names


@click.command()
@click.option("--sizes", callback=_sizes, default="10k,1M", help="Tasks in each queue, smallest to largest.")
@click.option("--seconds", default=30.0, help="Seconds of load of each measurement, all its rounds together.")
@click.option("--parts", callback=_parts, default=",".join((*BY_SIZE, *PARTS)), help="What to measure.")
@click.option("--people", default=web.PEOPLE, help="People who work at once.")
@click.option("--rounds", default=ROUNDS, help="Rounds that the seconds are cut into.")
@click.option("--keep", type=click.Path(path_type=Path), help="Find the built queues here, and leave them.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the figures to this file too.")
def main(
    sizes: list[int],
    seconds: float,
    parts: list[str],
    people: int,
    rounds: int,
    keep: Path | None,
    file: Path | None,
) -> None:
    """Measure the queue: what a claim costs, how that grows, and what the application adds to it."""
    length = Length(seconds / rounds, rounds, people)
    with ExitStack() as stack:
        databases: dict[int, Built] = {}

        def on(size: int) -> Built:
            if size not in databases:
                # One server at a time: each takes a good part of the memory.
                stack.close()
                databases.clear()
                with console.status(f"building {size_name(size)} tasks"):
                    databases[size] = stack.enter_context(built(size, _say, keep=keep))
            return databases[size]

        figures = _by_size([name for name in parts if name in BY_SIZE], sizes, on)
        traffic = max([size for size in sizes if size <= MOST_FOR_TRAFFIC] or sizes[:1])
        failed = []
        for name in parts:
            if name in PARTS:
                with console.status(f"measuring {name}"):
                    try:
                        figures += PARTS[name](on(traffic), length, _say)
                    except Exception:
                        # What the other parts found, in an hour maybe, is not lost with this one.
                        console.print_exception()
                        failed.append(name)
    click.echo(table(figures))
    if file is not None:
        file.write_text(json.dumps([figure.as_json() for figure in figures], indent=1) + "\n")
    if failed:
        raise click.ClickException(f"these parts did not come to an end: {', '.join(failed)}")


def _by_size(names: list[str], sizes: list[int], on: Callable[[int], Built]) -> list[Figure]:
    found: dict[str, dict[int, Any]] = {name: {} for name in names}
    for size in sizes if names else []:
        database = on(size)
        for name in names:
            with console.status(f"measuring {name} among {size_name(size)} tasks"):
                found[name][size] = BY_SIZE[name].measure(database, _say)
    return [figure for name in names for figure in BY_SIZE[name].compare(found[name])]


def _say(line: str) -> None:
    console.print(line, highlight=False, markup=False)


if __name__ == "__main__":
    main()
