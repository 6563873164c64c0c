"""Hidden gold over the API: served like work, answered like work, and evidence only."""

from tests.gold.conftest import GoldCrew
from tests.scenarios.people import good, good_result, refused, regions, styles, verdict


def test_gold_is_compared_with_what_is_known_at_once(crew: GoldCrew) -> None:
    crew.gold(crew.sources(2), "styles")
    for _ in range(12):
        crew.image_at("styles")
    expert = crew.hire("expert", "newcomer")
    task = crew.until_gold(expert, "styles")
    assert task["labels"]["attributes"] is not None
    assert task["labels"]["styles"] is None
    good(expert.submit(task, styles("resort")))
    second = crew.until_gold(expert, "styles")
    good(expert.submit(second, styles("street")))
    fared = {item["image_id"]: item for item in crew.admin.read("/gold")["items"]}
    assert sorted(item["mean"] for item in fared.values()) == [0.0, 1.0]
    assert sorted((item["passed"], item["failed"]) for item in fared.values()) == [(0, 1), (1, 0)]
    kept = crew.rows("SELECT value FROM evidence WHERE worker_id = :who ORDER BY id", who=expert.id)
    assert [value for (value,) in kept] == [1.0, 0.0]
