"""The long form: `python -m tests.faults --minutes 10`. Exits with 1 when anything does not fit."""

import argparse
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console

from tests.faults import injuries
from tests.faults.drill import Plan, fault_table, run_drill
from tests.faults.system import Embedded, Production, start_embedded, start_production

WIDTH = 120


def main() -> int:
    """Run a drill for so many minutes and print its table."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--bots", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--pause", type=float, default=4.0, help="seconds between two faults")
    parser.add_argument(
        "--faults", nargs="+", choices=list(injuries.IN_PRODUCTION), default=[], help="only these; else all"
    )
    parser.add_argument("--keep", type=Path, help="where ledger and logs are to be left")
    given = parser.parse_args()
    plan = Plan(
        seed=given.seed,
        bots=given.bots,
        seconds=60 * given.minutes,
        faults=given.faults,
        pause=given.pause,
        away=1.5,
        think=1.0,
        images=80,
        upload_every=0.7,
        lease=8,
    )
    console = Console(width=WIDTH)
    with tempfile.TemporaryDirectory(prefix="crowd-faults-") as folder:
        place = given.keep or Path(folder)
        start: AbstractContextManager[Production | Embedded | None] = (
            start_embedded(place, plan.lease)
            if given.database == "sqlite"
            else start_production(place, plan.lease)
        )
        with start as system:
            if system is None:
                print("no PostgreSQL of our own can be had here", file=sys.stderr)
                return 2
            report = run_drill(plan, system, say=lambda line: console.print(line, highlight=False))
            report.ledger.keep(place / "ledger.jsonl")
    console.print(fault_table(report))
    console.print(
        f"images: {dict(report.images)}; drained in {report.drain_seconds:.0f} s; {report.audits} audits"
    )
    for finding in report.findings[:50]:
        console.print(
            f"[{report.fault_at(finding.at)}] {finding.breach}: {finding.text}", markup=False, highlight=False
        )
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
