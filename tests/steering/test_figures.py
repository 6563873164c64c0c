"""Figures over HTTP: who sees them, what they say, page by page and as CSV."""

import csv
import io
from dataclasses import replace
from typing import Any

import pytest

from crowd.accounts import group_queries, groups
from crowd.policy import Grade, Stage
from crowd.policy.targets import Targets
from crowd.runtime import EXTENSION, Runtime
from crowd.steering import telling
from crowd.steering.tables import csv_text
from crowd.tasks.models import Kind
from tests.kinds import Answer
from tests.steering.conftest import Steered
from tests.tasks.engine import Lease, later, passing

DAYS = {"2026-W10": "2026-03-02", "2026-W11": "2026-03-09"}
EVERY = (
    "workers",
    "reviewers",
    "groups",
    "suppliers",
    "stages",
    "weeks",
    "styles",
    "errors",
    "agreement",
    "fixes",
)


def test_figures_are_for_admins_alone(steered: Steered) -> None:
    for name in EVERY:
        assert steered.client.get(f"/api/v1/stats/{name}").status_code == 401
        for grade in (Grade.GENERAL, Grade.INSPECTOR):
            person = steered.engine.crew[grade][0]
            answer = steered.client.get(f"/api/v1/stats/{name}", headers=steered.headers(person))
            assert answer.status_code == 403, name


def test_figures_of_nothing_are_empty_lists(steered: Steered) -> None:
    for name in EVERY:
        assert steered.items(name, since="2000-01-01") == []
        assert len(steered.get(name, format="csv", since="2000-01-01").text.splitlines()) == 1


def test_every_answer_counts_once_however_it_is_added_up(lived: Steered) -> None:
    by_stage = {row["stage"]: row["answers"] for row in lived.items("stages")}
    assert by_stage == {
        "segmentation": 1,
        "attributes": 2,
        "styles": 2,
        "first_review": 2,
        "second_review": 2,
        "adjudication": 1,
    }
    for name in ("workers", "groups", "suppliers", "weeks"):
        assert sum(row["answers"] for row in lived.items(name)) == 10, name


def test_weeks_tell_what_was_done_and_accepted_in_each(lived: Steered) -> None:
    first, second = lived.items("weeks")
    assert (first["week"], first["starts_on"], first["answers"], first["accepted"]) == (
        "2026-W10",
        "2026-03-02",
        4,
        0,
    )
    assert (second["week"], second["answers"], second["accepted"]) == ("2026-W11", 6, 1)
    # The bounced answer was one of the first week's, though somebody may say so later.
    assert (first["bounced"], first["error_rate"], second["bounced"]) == (1, 0.25, 0)
    assert first["per_hour"] == pytest.approx(3600 / 1.5)
    [only] = lived.items("weeks", since="2026-03-09", until="2026-03-15")
    assert only == second


def test_reviewers_agree_as_far_as_their_scores_do(lived: Steered) -> None:
    found = {row["worker_id"]: row for row in lived.items("reviewers")}
    inspectors = [found[each] for each in lived.engine.crew[Grade.INSPECTOR] if each in found]
    # 5, 3 and 4: each met both others, who lie 1 and 2 (or 1 and 1) of 4 apart.
    assert sorted(row["agreement"] for row in inspectors) == [0.625, 0.625, 0.75]
    assert [row["pairs"] for row in inspectors] == [1, 1, 1]
    [score] = [row for row in lived.items("agreement") if row["variable"] == "score"]
    assert score["pairs"] == 1.5
    assert (score["stage"], score["basis"], score["equal"]) == ("second_review", "independent", 0)
    assert score["alpha"] is not None


def test_errors_and_fixes_name_whom_they_concern(lived: Steered) -> None:
    [error] = lived.items("errors")
    assert error == {"stage": "attributes", "code": "missing", "bounces": 1, "share": 1.0}
    [fix] = lived.items("fixes")
    assert (fix["stage"], fix["fixed"]) == ("attributes", 1)
    assert lived.items("fixes", worker=fix["fixer_id"]) == [fix]
    assert lived.items("fixes", worker=lived.engine.crew[Grade.INSPECTOR][0]) == []
    assert lived.items("errors", worker=lived.engine.crew[Grade.INSPECTOR][0]) == []


def test_errors_are_told_apart_by_style_week_person_group_and_supplier(lived: Steered) -> None:
    error = {"stage": "attributes", "code": "missing", "bounces": 1, "share": 1.0}
    [fix] = lived.items("fixes")
    [supplier] = lived.items("suppliers")
    keys = {
        "style": "street",
        "week": "2026-W10",
        "worker": str(fix["author_id"]),
        "group": "0",
        "supplier": str(supplier["supplier_id"]),
    }
    for by, key in keys.items():
        assert lived.items("errors", by=by) == [{"key": key, **error}], by
    assert lived.items("errors", style="street") == [error]
    assert lived.items("errors", style="resort") == []
    heading, row = lived.get("errors", by="style", format="csv").text.removeprefix("\ufeff").splitlines()
    assert (heading.split(",")[0], row.split(",")[0]) == ("key", "street")


def test_fixes_are_narrowed_by_group_and_supplier(lived: Steered) -> None:
    [fix], [supplier] = lived.items("fixes"), lived.items("suppliers")
    for query in ({"group": 0}, {"supplier": supplier["supplier_id"]}):
        assert lived.items("fixes", **query) == [fix]
    for query in ({"group": 7}, {"supplier": supplier["supplier_id"] + 1}):
        assert lived.items("fixes", **query) == []


def test_agreement_is_told_apart_by_week_supplier_group_reviewer_and_style(lived: Steered) -> None:
    def scores(**query: Any) -> list[Any]:
        return [row for row in lived.items("agreement", **query) if row["variable"] == "score"]

    [whole] = scores()
    [supplier] = lived.items("suppliers")
    assert scores(by="week") == [{"key": "2026-W11", **whole}]
    assert scores(by="supplier") == [{"key": str(supplier["supplier_id"]), **whole}]
    assert scores(supplier=supplier["supplier_id"]) == [whole]
    assert scores(supplier=supplier["supplier_id"] + 1) == []
    assert scores(since="2026-03-16", by="week") == []
    # All three belong to no group, so each pair counts from both sides.
    [group] = scores(by="group")
    assert (group["key"], group["pairs"]) == ("0", 2 * whole["pairs"])
    sat = {row["worker_id"] for row in lived.items("reviewers") if row["pairs"]}
    by_person = scores(by="worker")
    assert {int(row["key"]) for row in by_person} == sat
    assert [scores(worker=row["key"]) for row in by_person] == [
        [{name: value for name, value in row.items() if name != "key"}] for row in by_person
    ]


def test_agreement_on_a_style_is_whether_both_name_it(lived: Steered) -> None:
    engine = lived.engine
    engine.hire(Grade.EXPERT)
    engine.image_at(Stage.STYLES)
    for expert, named in zip(engine.crew[Grade.EXPERT], (["street", "resort"], ["street"]), strict=True):
        lease = engine.claim(expert, Stage.STYLES)
        assert isinstance(lease, Lease)
        assert engine.answer(lease, {"styles": named, "unsure": True}) is None
    telling.tell(engine.db)
    found = lived.items("agreement", by="style")
    assert [(row["key"], row["variable"], row["equal"]) for row in found] == [
        ("resort", "styles:resort", 0.0),
        ("street", "styles:street", 1.0),
    ]
    [resort] = lived.items("agreement", style="resort")
    assert {"key": "resort", **resort} == found[0]
    assert lived.items("agreement", style="country")[0]["equal"] == 1.0, "both do without it"


def test_a_group_s_attributes_and_outlines_agree_with_others(lived: Steered) -> None:
    engine = lived.engine
    image = engine.image_at(Stage.STYLES)
    author = next(task.worker_id for task in engine.tasks_of(image) if task.stage is Stage.ATTRIBUTES)
    back = lived.claimed(Stage.STYLES)
    engine.answer(back, {"to": None, "reasons": ["blanket"], "comment": ""}, Kind.SEND_BACK)
    later(engine, 86_400)
    engine.tidy()
    fixer = next(who for who in engine.crew[Grade.GENERAL] if who != author)
    lease = engine.claim(fixer, Stage.ATTRIBUTES)
    assert isinstance(lease, Lease)
    assert engine.answer(lease, passing(lease)) is None
    telling.tell(engine.db)
    by_group = {(row["key"], row["variable"]): row["pairs"] for row in lived.items("agreement", by="group")}
    [whole] = [row for row in lived.items("agreement") if row["variable"] == "category"]
    assert by_group["0", "category"] == 2 * whole["pairs"] > 0
    regions = [row for row in lived.items("agreement", by="week") if row["variable"] == "regions"]
    assert regions == [
        {"key": week, **row}
        for week in ("2026-W10", "2026-W11")
        for row in lived.items("agreement", stage="segmentation", since=DAYS[week], until=DAYS[week])
    ]


@pytest.mark.parametrize("query", [{"worker": 1}, {"group": 0}, {"by": "group"}, {"by": "worker"}])
def test_agreement_of_people_on_one_supplier_s_images_is_not_kept(
    steered: Steered, query: dict[str, Any]
) -> None:
    answer = steered.get("agreement", supplier=1, **query)
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["supplier"])


def test_suppliers_and_styles_tell_what_was_accepted(lived: Steered) -> None:
    [supplier] = lived.items("suppliers")
    assert (supplier["name"], supplier["uploaded"], supplier["accepted"]) == ("a shop", 1, 1)
    [style] = lived.items("styles", since="2000-01-01")
    assert (style["style"], style["named"], style["main"], style["accepted"]) == ("street", 2, 2, 1)
    assert (style["target"], supplier["target"]) == (None, None)


def test_styles_and_suppliers_are_held_against_their_targets(
    lived: Steered, monkeypatch: pytest.MonkeyPatch
) -> None:
    extensions = lived.client.application.extensions
    rt: Runtime = extensions[EXTENSION]
    aimed = replace(rt.policy, targets=Targets(images=1000, suppliers={"a shop": 4}))
    monkeypatch.setitem(extensions, EXTENSION, replace(rt, policy=aimed))
    styles = {row["style"]: row for row in lived.items("styles")}
    shares = rt.taxonomy.style_shares
    assert styles.keys() == shares.keys(), "those that nobody named are what is short"
    assert abs(sum(row["target"] for row in styles.values()) - 1000) <= len(shares)
    street = round(1000 * shares["street"] / sum(shares.values()))
    assert (styles["street"]["target"], styles["street"]["accepted"]) == (street, 1)
    assert styles["street"]["reached"] == pytest.approx(1 / street, abs=1e-6)
    assert {row["reached"] for key, row in styles.items() if key != "street"} == {0.0}
    [supplier] = lived.items("suppliers")
    assert (supplier["target"], supplier["reached"]) == (4, 0.25)
    assert [row["target"] for row in lived.items("suppliers", stage="styles")] == [None]


def test_members_count_for_their_group(steered: Steered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "now", lambda: steered.engine.now)
    answer = steered.client.post(
        "/api/v1/groups", json={"kind": "school", "name": "Hill  School"}, headers=steered.boss
    )
    assert (answer.status_code, answer.json["name"], answer.json["members"]) == (201, "Hill School", 0)
    group = answer.json["id"]
    path = f"/api/v1/groups/{group}/members"
    members = steered.engine.crew[Grade.GENERAL]
    body = {"workers": members, "reason": "the spring course"}
    assert steered.client.post(path, json=body, headers=steered.boss).json == {"moved": 2}
    assert steered.client.post(path, json=body, headers=steered.boss).json == {"moved": 0}
    later(steered.engine, 60)
    steered.engine.image_at(Stage.STYLES)
    assert steered.engine.pass_one()
    telling.tell(steered.engine.db)
    nobody, school = steered.items("groups")
    assert (nobody["group_id"], nobody["name"], nobody["answers"]) == (0, None, 1)
    assert (school["name"], school["kind"], school["answers"]) == ("Hill School", "school", 2)
    assert [row["worker_id"] for row in steered.items("workers", group=group)] == [
        each for each in members if each in {row["worker_id"] for row in steered.items("workers")}
    ]
    left = f"{path}/{members[0]}/leave"
    assert steered.client.post(left, json={"reason": "done"}, headers=steered.boss).status_code == 204
    rows = steered.client.get(path, headers=steered.boss).json["items"]
    assert [(row["worker_id"], row["to"] is None, row["reason"]) for row in rows] == [
        (members[0], False, "the spring course"),
        (members[1], True, "the spring course"),
    ]


def test_groups_refuse_what_cannot_be(steered: Steered) -> None:
    def post(path: str, body: Any) -> Answer:
        return steered.client.post(f"/api/v1/groups{path}", json=body, headers=steered.boss)

    group = post("", {"kind": "crowd", "name": "Night crowd"}).json["id"]
    assert post("", {"kind": "institute", "name": "Night  crowd"}).json["code"] == "name_taken"
    assert list(post("", {"kind": "crowd", "name": "  "}).json["errors"]) == ["name"]
    assert post("/99/members", {"workers": [1]}).status_code == 404
    refused = post(f"/{group}/members", {"workers": [1, 9999]})
    assert (refused.status_code, list(refused.json["errors"])) == (422, ["workers"])
    with steered.engine.db.read() as conn:
        assert group_queries.history(conn, group, after=None, limit=5) == []


def test_pages_and_tables_have_every_person_once(lived: Steered) -> None:
    ids = [row["worker_id"] for row in lived.items("workers")]
    assert len(ids) > 4
    seen: list[int] = []
    cursor = None
    while True:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        body = lived.get("workers", **query).json
        seen += [row["worker_id"] for row in body["items"]]
        cursor = body["next_cursor"]
        if cursor is None:
            break
    assert seen == ids
    table = lived.get("workers", format="csv")
    assert table.mimetype == "text/csv"
    rows = list(csv.DictReader(io.StringIO(table.text.removeprefix("\ufeff"))))
    assert [int(row["worker_id"]) for row in rows] == ids
    accepting = lived.client.get(
        "/api/v1/stats/workers", headers={**lived.boss, "Accept": "text/csv", "Range": ""}
    )
    assert accepting.text == table.text


def test_a_name_is_no_formula_in_a_table() -> None:
    rows: list[dict[str, object]] = [
        {"name": '=HYPERLINK("x")', "n": -1},
        {"name": "@sum", "n": 2},
        {"name": "a,b\n", "n": None},
    ]
    text = csv_text(["name", "n"], rows)
    assert list(csv.reader(io.StringIO(text))) == [
        ["name", "n"],
        ['\'=HYPERLINK("x")', "-1"],
        ["'@sum", "2"],
        ["a,b\n", ""],
    ]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-03-02", "until": "2026-03-01"}, "until"),
        ({"format": "xml"}, "format"),
        ({"stage": "lunch"}, "stage"),
        ({"worker": str(2**70)}, "worker"),
    ],
)
def test_a_bad_question_is_told_which_field(steered: Steered, query: dict[str, str], field: str) -> None:
    answer = steered.get("weeks", **query)
    assert (answer.status_code, list(answer.json["errors"])) == (422, [field])


def test_what_is_not_told_yet_is_said(lived: Steered) -> None:
    engine = lived.engine
    engine.add_image()
    lease = lived.claimed(Stage.SEGMENTATION)
    engine.answer(lease, passing(lease))
    # The upload and the answer.
    assert lived.get("weeks").json["waiting"] == 2
