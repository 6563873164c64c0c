"""Run the parts: `python -m benchmarks.data --parts import,hashes`; the table goes to stdout as Markdown."""

import argparse
import sys
from collections.abc import Callable

from benchmarks.data.importing import measure_hashes, measure_import
from benchmarks.data.rows import Row, as_table

PARTS: dict[str, Callable[[int], list[Row]]] = {"import": measure_import, "hashes": measure_hashes}


def main() -> int:
    """Measure the parts that are asked for. Returns 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--most", type=int, default=10_000, help="images of the largest import")
    given = parser.parse_args()
    wanted = given.parts.split(",")
    if unknown := [part for part in wanted if part not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}")
    rows = [row for part in wanted for row in PARTS[part](given.most)]
    print(as_table(rows))
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
