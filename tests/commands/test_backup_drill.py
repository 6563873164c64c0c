"""The drill: a backup is taken while people work, the system is lost, and the backup is all there is."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crowd.core.migrate import upgrade
from tests.commands.drills import Team, assert_consistent, lost, served, wait_until_told
from tests.commands.places import MakePlace, places
from tests.conftest import DATABASES

IMAGES = 12
# So slow that there is work left when the backup is done.
THINK_SECONDS = 0.6


@pytest.fixture(params=DATABASES)
def make_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakePlace]:
    with places(request.param, tmp_path, request) as make:
        yield make


def test_no_answer_acknowledged_before_the_backup_is_lost_and_work_goes_on(
    make_place: MakePlace, tmp_path: Path
) -> None:
    place, other = make_place(), make_place()
    upgrade(place.settings.database_url)
    with served(place) as url:
        team = Team.arrive(place, url, IMAGES)
        with team.at_work(url, think=THINK_SECONDS) as seen:
            wait_until_told(seen, 10)
            started = time.monotonic()
            backup = place.spawn("backup", tmp_path / "backup")
            said = backup.communicate(timeout=60)
            ended = time.monotonic()
    assert backup.returncode == 0, said
    before = seen.before(started)
    assert len(before) >= 10
    assert len(seen.before(ended)) > len(before), "nobody worked while the backup was taken"

    restored = other.crowd("restore", tmp_path / "backup")
    assert restored.exit_code == 0, restored.output
    with other.opened() as rt:
        with rt.db.read() as conn:
            assert lost(conn, before) == []
        assert_consistent(rt)

    with served(other) as url:
        figures = team.finish(url)
    assert figures.troubles == []
    assert figures.cycles > 0, "nothing was left to do"
    assert sum(figures.images.values()) == IMAGES
    with other.opened() as rt:
        with rt.db.read() as conn:
            assert lost(conn, before) == []
        assert_consistent(rt)
