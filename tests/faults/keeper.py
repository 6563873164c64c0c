"""The process that keeps a drill's web server and job workers alive, as a service manager would.

Run with a JSON file: a list of {"name", "command", "env"}. Process ids lie beside it, in `NAME.pid`.
"""

import json
import sys
from pathlib import Path

from crowd.core.supervisor import Child, Supervisor


def main(config: Path) -> None:
    """Keep all alive until told to stop."""
    children = [
        Child(each["name"], each["command"], each["env"], pid_file=config.parent / f"{each['name']}.pid")
        for each in json.loads(config.read_text())
    ]
    Supervisor(children).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
