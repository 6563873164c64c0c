"""`python -m benchmarks.capacity`: print the tables of docs/capacity.md and draw its pictures.

`python -m benchmarks.capacity measure` measures the costs of an image anew first (some minutes).
"""

import argparse
import json
import re

from benchmarks.capacity.loads import RECORD
from benchmarks.capacity.tables import all_tables

PAIR = re.compile(r"\[\s+(\d+),\s+(\d+)\s+\]")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["tables", "measure"], default="tables")
    parser.add_argument("--images", type=int, default=250, help="images that the crowd works on")
    parser.add_argument("--multiplied", type=int, default=20_000, help="images that they are multiplied to")
    given = parser.parse_args()
    if given.what == "measure":
        # PostgreSQL and the rest of the system are needed for this alone.
        from benchmarks.capacity.measure import measure  # noqa: PLC0415

        RECORD.write_text(
            PAIR.sub(r"[\1, \2]", json.dumps(measure(given.images, given.multiplied), indent=1)) + "\n"
        )
    for heading, table in all_tables():
        print(f"\n## {heading}\n\n{table}")
    from benchmarks.capacity.plots import draw  # noqa: PLC0415 - the tables do without matplotlib

    for path in draw():
        print(f"\n{path}")


if __name__ == "__main__":
    main()
