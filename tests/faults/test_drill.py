"""Real processes die under a hundred bots: nothing acknowledged is lost, applied twice or held twice."""

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.drill import Plan, Report, run_drill
from tests.faults.ledger import Act
from tests.faults.system import start_embedded, start_production

SHORT = Plan(seed=7, bots=100, pause=0.4, away=0.4, think=1.0, images=12, upload_every=2, lease=5)
# Where each fault tells most, web processes every few seconds; the long form does them all, in ever new
# order, on both.
IN_PRODUCTION = (
    "web worker killed",
    "PostgreSQL crashed",
    "web worker killed",
    "tidied by many",
    "Redis killed",
    "web worker killed",
    "killed while preparing",
    "export forgotten",
)
EMBEDDED = ("web master killed", "Redis killed", "everything killed")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children are looked up in /proc")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short name: the path of a socket has to fit."""
    with tempfile.TemporaryDirectory(prefix="crowd-faults-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("database", ["postgresql"])
def test_nothing_is_lost_when_servers_die(database: str, place: Path) -> None:
    with start_production(place, SHORT.lease) as system:
        if system is None:
            pytest.skip("no PostgreSQL of our own can be had here")
        report = run_drill(replace(SHORT, faults=IN_PRODUCTION), system)
    _check(report, set(IN_PRODUCTION))


@pytest.mark.parametrize("database", ["sqlite"])
def test_nothing_is_lost_when_standalone_dies(database: str, place: Path) -> None:
    with start_embedded(place, SHORT.lease) as system:
        report = run_drill(replace(SHORT, faults=EMBEDDED), system)
    _check(report, set(EMBEDDED))


def _check(report: Report, faults: set[str]) -> None:
    assert not report.findings, "\n".join(f"{each.breach}: {each.text}" for each in report.findings[:20])
    assert set(report.injected) >= faults
    # Every image was brought to its end by people, not left out.
    answers = {(entry.task_id, entry.token) for entry in report.ledger.of(Act.SUBMIT) if entry.acknowledged}
    assert report.images.get("in_work", 0) == 0
    assert len(answers) >= 6 * report.images["accepted"] > 0
