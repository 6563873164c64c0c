"""What has to be said is said: no write and no command that asks for words takes blanks for them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from flask import Flask

from crowd.cli import main
from crowd.core.http import PREFIX
from crowd.policy import Grade
from tests.kinds import Bearer, Client, MakeWorker

BLANKS = " \n\t "

# Secrets are compared as they were sent; and which release it is comes before which format.
SECRETS = {("/login", "username"), ("/login", "password"), ("/me/password", "old"), ("/me/password", "new")}
ELSEWHERE = SECRETS | {("/releases/1/exports", "format")}

# What else the body must hold for the service to look at the field, where the schema does not.
BESIDE: dict[str, dict[str, Any]] = {
    "/examples": {"facet": "styles", "value": "resort", "image_id": 1, "caption_en": "a", "caption_ko": "b"}
    | {"reason": "it shows it well"},
    "/deliveries": {"supplier": "Shop"},
    "/groups": {"kind": "crowd"},
    "/workers": {"grade": "general"},
}


def _written(app: Flask) -> Iterator[tuple[str, str, str]]:
    """Method, path and field of every text that a JSON body has to have, by the API's own description."""
    spec = app.test_client().get(f"{PREFIX}/openapi.json").get_json()
    for path, operations in sorted(spec["paths"].items()):
        place = re.sub(r"\{\w+\}", "1", path.removeprefix(PREFIX).replace("{stage}", "segmentation"))
        for method, operation in operations.items():
            body = operation.get("requestBody", {}) if method != "parameters" else {}
            wanted = body.get("content", {}).get("application/json", {}).get("schema", {})
            schema = _followed(spec, wanted)
            for name in schema.get("required", []):
                field = _followed(spec, schema["properties"][name])
                if field.get("type") == "string" and not {"enum", "format"} & set(field):
                    yield method, place, name


def _followed(spec: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_write_takes_blanks_for_words(
    app: Flask, client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    headers = bearer(make_worker(Grade.ADMIN)[1])
    client.post(f"{PREFIX}/suppliers", json={"name": "Shop"}, headers=headers)
    asked = [each for each in _written(app) if each[1:] not in ELSEWHERE]
    for method, path, field in asked:
        body = {**BESIDE.get(path, {}), field: BLANKS}
        answer = client.open(f"{PREFIX}{path}", method=method, json=body, headers=headers)
        told = (method, path, field, answer.status_code, answer.json)
        assert answer.status_code == 422, told
        assert field in answer.json["errors"], told
    assert len(asked) > 40


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_blanks_are_no_reason_to_see_an_original(
    client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    headers = bearer(make_worker(Grade.ADMIN)[1])
    answer = client.get(f"{PREFIX}/images/1/original?reason=%20%20", headers=headers)
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["reason"])


def _commands(group: click.Group, *words: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    with click.Context(group) as ctx:
        for name in group.list_commands(ctx):
            found = group.get_command(ctx, name)
            assert found is not None
            if isinstance(found, click.Group):
                yield from _commands(found, *words, name)
            else:
                yield (*words, name), found


def test_no_command_takes_blanks_for_a_reason(tmp_path: Path) -> None:
    file = tmp_path / "given"
    file.touch()
    asking = 0
    for words, command in _commands(main):
        options = [one for one in command.params if "--reason" in one.opts]
        if not any(one.required for one in options):
            continue
        asking += 1
        wanted = [one for one in command.params if isinstance(one, click.Argument)]
        given = ["admin" if isinstance(one.type, click.Choice) else str(file) for one in wanted]
        for reason, told in ((BLANKS, "say why"), ("x" * 1001, "at most 1000")):
            result = CliRunner().invoke(main, [*words, *given, "--reason", reason])
            assert result.exit_code == 2, (words, result.output)
            assert re.search(f"--reason.*{told}", result.stderr, re.DOTALL), (words, result.stderr)
    assert asking >= 6
