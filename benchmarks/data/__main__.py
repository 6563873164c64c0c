"""`python -m benchmarks.data [--parts export,import,memory,hashes]`: each part beside its floor.

A part is a function of a module of this package, `(given) -> list[Line]`; the exit code is 1 if a bar is
missed.
"""

import argparse
import json
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from benchmarks.data.lines import Line, table

# Module and function of each part.
PARTS = {
    "export": ("exporting", "speed"),
    "import": ("importing", "speed"),
    "memory": ("memory", "both"),
    "memory-export": ("memory", "exports"),
    "memory-import": ("memory", "imports"),
    "hashes": ("hashes", "measure"),
}
USUAL = ("export", "import", "memory", "hashes")


def main() -> int:
    given = arguments()
    lines: list[Line] = []
    for part in given.parts:
        module, function = PARTS[part]
        lines += getattr(import_module(f"benchmarks.data.{module}"), function)(given)
    print(table(lines))
    if given.json:
        given.json.write_text(json.dumps([asdict(line) for line in lines], indent=1))
    return 0 if all(line.holds for line in lines) else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__)
    parser.add_argument("--parts", type=_parts, default=list(USUAL), help=", ".join(PARTS))
    parser.add_argument("--images", type=int, default=2000, help="for the speed")
    parser.add_argument("--few", type=int, default=1000, help="images for the memory: from so many …")
    parser.add_argument("--many", type=int, default=100_000, help="… to so many")
    parser.add_argument("--rounds", type=int, default=3, help="way and floor in turn; medians are compared")
    parser.add_argument(
        "--formats", type=lambda text: text.split(","), help="of the exports; all if left out"
    )
    parser.add_argument("--folder", type=Path, help="for the files; a temporary one if left out")
    parser.add_argument("--json", type=Path, help="the table as JSON")
    return parser.parse_args()


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(PARTS)}")
    return parts


if __name__ == "__main__":
    raise SystemExit(main())
