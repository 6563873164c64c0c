"""Writes src/api/schema.d.ts, the types of the API, from the API's own description.

Run it after a change of the API: `.venv/bin/python -m frontend.api_types`. The first line of the file holds
the description's hash, by which a test knows whether it is current.
"""

import hashlib
import json
import tempfile
from pathlib import Path

from crowd.app import create_app
from crowd.core.config import Settings
from frontend import build

FRONTEND = Path(__file__).resolve().parent
TYPES = FRONTEND / "src" / "api" / "schema.d.ts"
TOOL = FRONTEND / "node_modules" / "openapi-typescript" / "bin" / "cli.js"


def description() -> str:
    """The API's description (OpenAPI) as canonical JSON."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        settings = Settings(
            data_dir=place,
            database_url=f"sqlite:///{place / 'crowd.sqlite'}",
            redis_url=None,
            storage=str(place / "storage"),
            secret_key="only to describe the API",
        )
        spec = create_app(settings, environ={}).test_client().get("/api/v1/openapi.json").get_json()
    return json.dumps(spec, ensure_ascii=False, sort_keys=True)


def first_line(described: str) -> str:
    """What the types made from a description begin with."""
    return f"// Made by frontend.api_types from the API's description; SHA-256 {_hash(described)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def main() -> None:
    """Write the types."""
    build.install()
    described = description()
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "openapi.json"), Path(folder, "schema.d.ts")
        source.write_text(described, encoding="utf-8")
        build.run_node(TOOL, str(source), "--output", str(target))
        TYPES.write_text(f"{first_line(described)}\n{target.read_text(encoding='utf-8')}", encoding="utf-8")
    print(TYPES)


if __name__ == "__main__":
    main()
