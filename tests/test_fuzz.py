"""Schemathesis lets loose on every operation that the API describes: no input brings a server error."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok

from crowd.core import clock
from crowd.images.models import Rights
from crowd.images.service import Delivery, take_upload
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tasks import leases
from crowd.tasks.leases import Claimant
from crowd.tasks.taxonomies import shelf
from tests.conftest import DATABASES
from tests.kinds import MakeWorker
from tests.pictures import jpeg

EXAMPLES = 10
SPEC = "/api/v1/openapi.json"


@pytest.fixture
def busy_app(app: Flask, rt: Runtime, make_worker: MakeWorker) -> tuple[Flask, dict[str, str]]:
    """The application with a few images, claimed tasks, and the tokens of an admin and a labeller."""
    admin_id, admin = make_worker(Grade.ADMIN)
    labeller_id, labeller = make_worker(Grade.REVIEWER)
    for seed in range(4):
        take_upload(rt, jpeg(seed), Delivery("Shop", f"{seed}.jpg", Rights.OWNED), admin_id)
    taxonomy_id = shelf(rt).present_id()
    with rt.db.begin() as conn:
        for _ in range(2):
            leases.claim(conn, Claimant(labeller_id, taxonomy_id), rt.policy, clock.now(), Stage.SEGMENTATION)
    return app, {"admin": admin, "labeller": labeller}


# What nobody in particular may send, an admin sends too: to both databases.
@pytest.mark.parametrize(
    ("database_url", "who"),
    [(name, who) for name in DATABASES for who in ("admin", "labeller")] + [("sqlite", "nobody")],
    indirect=["database_url"],
)
def test_no_described_operation_answers_with_a_server_error(
    busy_app: tuple[Flask, dict[str, str]], who: str, tmp_path: Path
) -> None:
    app, tokens = busy_app
    app.testing = False
    headers = {"Authorization": f"Bearer {tokens[who]}"} if who in tokens else {}
    schema = schemathesis.openapi.from_wsgi(SPEC, app)
    tried = 0
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def attack(case: schemathesis.Case[Any]) -> None:
            # Random ids name nothing; most are turned into ones that are there.
            for name, value in (case.path_parameters or {}).items():
                if isinstance(value, int) and value % 4:
                    case.path_parameters[name] = 1 + value % 5
            response = case.call(headers=headers)
            assert response.status_code < 500, f"{case.method} {case.formatted_path}: {response.text}"

        attack()
        tried += 1
    assert tried > 40
