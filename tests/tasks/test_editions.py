"""Editions of the taxonomy: published by admins, seen by every process, and never at a label's cost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from crowd.cli import main
from crowd.core import clock
from crowd.core.errors import Unprocessable
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tasks.editions import holding, service
from crowd.tasks.editions.models import TaxonomyEdition
from crowd.tasks.editions.service import Wish
from crowd.tasks.models import Label
from crowd.tasks.taxonomies import REMEMBER_SECONDS, TaxonomyShelf, shelf
from crowd.taxonomy import load_taxonomy
from tests.kinds import Answer, Bearer, Client, Headers, MakeWorker
from tests.tasks.engine import Engine, Lease

URL = "/api/v1/taxonomy"
Document = dict[str, Any]


def entry(document: Document, listing: str, key: str) -> Document:
    found: Document = next(each for each in document[listing] if each["key"] == key)
    return found


def renamed(version: str, base: Document | None = None) -> Document:
    """The next version: a definition of the street style, and another English name of a detail."""
    document = base or load_taxonomy().document
    document["version"] = version
    entry(document, "styles", "street")["definition"] = {"en": f"Of {version}.", "ko": "거리"}
    return document


def retired(version: str, key: str = "punk") -> Document:
    document = renamed(version)
    entry(document, "styles", key)["retired"] = True
    return document


def without(key: str) -> Document:
    document = renamed("without")
    document["styles"].remove(entry(document, "styles", key))
    return document


class House:
    """An admin who publishes and a labeller who reads."""

    def __init__(self, client: Client, make_worker: MakeWorker, bearer: Bearer) -> None:
        self.client = client
        self.admin = bearer(make_worker(Grade.ADMIN, name="boss")[1])
        self.labeller = bearer(make_worker(Grade.GENERAL)[1])

    def read(self, known: str = "") -> Answer:
        return self.client.get(URL, headers={**self.labeller, "If-None-Match": known})

    def get(self, path: str = "", who: Headers | None = None) -> Answer:
        return self.client.get(f"{URL}/versions{path}", headers=who or self.admin)

    def publish(self, document: Document, after: int = 0, **more: Any) -> Answer:
        body = {"document": document, "after": after, "reason": "clearer", **more}
        return self.client.post(f"{URL}/versions", json=body, headers=more.pop("who", self.admin))

    def preview(self, document: Document, after: int = 0) -> Answer:
        body = {"document": document, "after": after}
        return self.client.post(f"{URL}/preview", json=body, headers=self.admin)


@pytest.fixture
def house(client: Client, make_worker: MakeWorker, bearer: Bearer) -> House:
    return House(client, make_worker, bearer)


def publish(rt: Runtime, document: Document, after: int = 0) -> int:
    with rt.db.begin() as conn:
        made = service.publish(
            conn, shelf(rt), Wish(after, document=document), "because", by=None, now=clock.now()
        )
    shelf(rt).look_again()
    found: int = made["id"]
    return found


def label(engine: Engine, styles: list[str]) -> None:
    """An accepted answer at the stage of styles."""
    engine.image_at(Stage.STYLES)
    lease = engine.claim(engine.crew[Grade.EXPERT][0], Stage.STYLES)
    assert isinstance(lease, Lease)
    assert engine.answer(lease, {"styles": styles}) is None


@pytest.fixture
def engine(rt: Runtime) -> Engine:
    made = Engine(rt)
    for grade in (Grade.GENERAL, Grade.EXPERT, Grade.ADMIN):
        made.hire(grade)
    return made


def test_what_an_admin_publishes_everybody_reads_and_nobody_twice(house: House) -> None:
    first = house.read()
    assert (first.json["number"], first.json["version"]) == (0, load_taxonomy().version)
    etag = first.headers["ETag"]
    again = house.read(etag)
    assert (again.status_code, again.data) == (304, b"")
    made = house.publish(renamed("2"))
    assert (made.status_code, made.json["number"], made.json["who"]) == (201, 1, "boss")
    now = house.read(etag)
    street = entry(now.json, "styles", "street")
    assert (now.json["version"], street["definition"]["en"]) == ("2", "Of 2.")
    assert now.json["id"] != first.json["id"]


def test_versions_tell_who_changed_what_and_why_and_keep_the_file(house: House) -> None:
    assert [each["number"] for each in house.get().json["items"]] == [0]
    house.publish(renamed("2"))
    house.publish(renamed("3"), after=1, reason="better still")
    page = house.get("?limit=2").json
    assert [(each["number"], each["reason"]) for each in page["items"]] == [
        (2, "better still"),
        (1, "clearer"),
    ]
    change = {each["path"]: each for each in page["items"][0]["changes"]}["styles.street.definition.en"]
    assert (change["turn"], change["before"], change["after"]) == ("changed", "Of 2.", "Of 3.")
    (file,) = house.get(f"?limit=2&cursor={page['next_cursor']}").json["items"]
    assert (file["number"], file["who"], file["digest"]) == (0, None, load_taxonomy().digest)
    assert house.get("/0").json["document"] == load_taxonomy().document
    assert house.get("/2").json["document"]["version"] == "3"
    assert house.get("/7").status_code == 404


def test_only_admins_see_versions_and_publish(house: House) -> None:
    assert house.get(who=house.labeller).status_code == 403
    assert house.get("/0", who=house.labeller).status_code == 403
    body = {"document": renamed("2"), "after": 0, "reason": "mine"}
    for path in ("versions", "preview"):
        assert house.client.post(f"{URL}/{path}", json=body, headers=house.labeller).status_code == 403
    assert house.read().json["number"] == 0


def test_every_mistake_is_named_by_its_path_in_the_request(house: House) -> None:
    document = renamed("2")
    document["styles"][0]["ko"] = ""
    document["attributes"][1]["values"][3]["key"] = "Red!"
    refused = house.publish(document)
    assert refused.status_code == 422
    assert set(refused.json["errors"]) == {
        "document.styles[0].ko",
        "document.attributes.color.values[3].key",
    }
    file = {"file": "name: [", "after": 0, "reason": "from a file"}
    broken = house.client.post(f"{URL}/versions", json=file, headers=house.admin)
    assert (broken.status_code, list(broken.json["errors"])) == (422, ["file"])
    both = {"file": "name: Both", "document": document, "after": 0}
    refused = house.client.post(f"{URL}/preview", json=both, headers=house.admin)
    assert list(refused.json["errors"]) == ["document"]


def test_of_two_who_publish_at_once_the_second_is_told(house: House) -> None:
    assert house.publish(renamed("2")).status_code == 201
    late = house.publish(renamed("3"))
    assert (late.status_code, late.json["code"]) == (409, "changed")
    assert house.preview(renamed("3")).status_code == 409


def test_a_version_needs_a_name_and_a_change_of_its_own(house: House) -> None:
    house.publish(renamed("2"))
    house.publish(renamed("3"), after=1)
    for taken in ("3", "2", load_taxonomy().version):
        document = retired(taken)
        assert list(house.publish(document, after=2).json["errors"]) == ["document.version"], taken
    assert list(house.publish(renamed("3"), after=2).json["errors"]) == ["document"]
    assert list(house.publish(renamed("4"), after=2, reason=" ").json["errors"]) == ["reason"]


def test_a_preview_tells_what_would_change_and_keeps_nothing(house: House, engine: Engine) -> None:
    label(engine, ["street", "punk"])
    found = house.preview(retired("2")).json
    assert ("styles.punk", "retired") in {(each["path"], each["turn"]) for each in found["changes"]}
    assert found["held"] == [{"path": "styles.punk", "labels": 1, "whole": True}]
    assert found["refusals"] == {}
    gone = house.preview(without("punk")).json
    assert list(gone["refusals"]) == ["styles.punk"]
    assert house.read().json["number"] == 0


def test_what_labels_may_hold_cannot_be_taken_away(house: House, engine: Engine) -> None:
    label(engine, ["punk"])
    refused = house.publish(without("western"))
    assert refused.status_code == 422, "nobody chose it yet, but somebody at work may"
    assert list(refused.json["errors"]) == ["document.styles.western"]


def test_before_any_work_everything_may_change(house: House) -> None:
    assert house.publish(without("punk")).status_code == 201
    assert "punk" not in {style["key"] for style in house.read().json["styles"]}


def test_an_answer_counts_under_the_version_of_its_claim(rt: Runtime, engine: Engine) -> None:
    expert = engine.crew[Grade.EXPERT][0]
    before = engine.taxonomy_id
    engine.image_at(Stage.STYLES)
    lease = engine.claim(expert, Stage.STYLES)
    assert isinstance(lease, Lease)
    after = publish(rt, retired("2"))
    assert engine.answer(lease, {"styles": ["punk"]}) is None, "it was on offer when it was claimed"
    engine.taxonomy_id = shelf(rt).present_id()
    assert engine.taxonomy_id == after
    engine.image_at(Stage.STYLES)
    lease = engine.claim(expert, Stage.STYLES)
    assert isinstance(lease, Lease)
    with pytest.raises(Unprocessable) as refused:
        engine.answer(lease, {"styles": ["punk"]})
    assert list(refused.value.errors or {}) == ["result.styles.0"]
    assert "retired" in str(refused.value.errors)
    assert engine.answer(lease, {"styles": ["street"]}) is None
    with rt.db.read() as conn:
        kept = sa.select(Label.taxonomy_id).where(Label.stage == Stage.STYLES).order_by(Label.id)
        assert conn.execute(kept).scalars().all() == [before, after]


def test_another_process_sees_a_new_version_after_a_few_seconds(rt: Runtime) -> None:
    seconds = [100.0]
    other = TaxonomyShelf(rt.db, rt.taxonomy, monotonic=lambda: seconds[0])
    assert other.present().number == 0
    publish(rt, renamed("2"))
    seconds[0] += REMEMBER_SECONDS - 0.1
    assert other.present().number == 0
    seconds[0] += 0.1
    assert (other.present().number, other.present().taxonomy.version) == (1, "2")


def test_what_is_known_is_asked_of_the_database_once_in_a_while(rt: Runtime) -> None:
    asked: list[str] = []
    known = TaxonomyShelf(rt.db, rt.taxonomy, monotonic=lambda: 1.0)
    known.present()
    sa.event.listen(rt.db.engine, "before_cursor_execute", lambda *said: asked.append(said[2]))
    for _ in range(3):
        known.present()
    assert asked == []


def test_only_the_newest_labels_are_looked_at(
    rt: Runtime, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for styles in (["punk"], ["punk"], ["street"]):
        label(engine, styles)
    with rt.db.read() as conn:
        (every,) = holding.held(conn, ["styles.punk"])
        assert (every.labels, every.whole) == (2, True)
        monkeypatch.setattr(holding, "LOOK", 4)
        (newest,) = holding.held(conn, ["styles.punk"])
    assert (newest.labels, newest.whole) == (1, False)


def test_values_and_parts_are_counted_where_labels_hold_them(rt: Runtime, engine: Engine) -> None:
    label(engine, ["punk"])
    paths = ["parts.top", "attributes.category.values.blouses", "attributes.category.values.jeans"]
    with rt.db.read() as conn:
        found = {each.path: each.labels for each in holding.held(conn, [*paths, "reasons.other"])}
    assert found == dict(zip(paths, (1, 1, 0), strict=True))


def test_history_cannot_be_rewritten(rt: Runtime) -> None:
    publish(rt, renamed("2"))
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), rt.db.begin() as conn:
        conn.execute(sa.update(TaxonomyEdition).values(reason="another"))


def test_a_release_made_after_a_new_version_is_of_that_version(
    house: House, rt: Runtime, engine: Engine
) -> None:
    for grade in (Grade.REVIEWER, Grade.INSPECTOR, Grade.INSPECTOR):
        engine.hire(grade)
    engine.add_image()
    while engine.pass_one():
        pass
    publish(rt, renamed("2"))
    made = house.client.post("/api/v1/releases", json={"name": "r1", "about": None}, headers=house.admin)
    assert made.status_code == 201
    with rt.db.read() as conn:
        found = conn.execute(sa.text("SELECT taxonomy_id FROM releases")).scalar_one()
    assert found == shelf(rt).present_id() != engine.taxonomy_id


@pytest.fixture
def crowd(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("CROWD_DATA_DIR", str(tmp_path / "data"))
    return lambda *words: CliRunner().invoke(main, ["taxonomy", *map(str, words)])


def test_a_version_is_exported_edited_compared_and_applied(
    crowd: Callable[..., Result], tmp_path: Path, house: House, engine: Engine
) -> None:
    file = tmp_path / "ours.yaml"
    assert crowd("export", "--out", file).exit_code == 0
    assert crowd("diff", file).stdout.strip() == "Nothing differs."
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("1.04-1", "1.04-2").replace("en: Beads", "en: Bead work"), encoding="utf-8")
    assert "attributes.detail.values.beads.en: Beads → Bead work" in crowd("diff", file).stdout
    applied = crowd("apply", file, "--reason", "as printed")
    assert (applied.exit_code, applied.stdout) == (0, "K-Fashion 1.04-2 holds, as version 1\n")
    lines = crowd("show").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["1", "1.04-2"], ["0", "1.04-1"]]
    assert "at the machine itself" in lines[0]
    assert "as printed" in lines[0]
    assert crowd("export", "--number", "0").stdout == text
    label(engine, ["punk"])
    file.write_text(file.read_text().replace("key: punk", "key: punk-rock").replace("1.04-2", "1.04-3"))
    refused = crowd("apply", file, "--reason", "shorter")
    assert refused.exit_code == 2
    assert "styles.punk" in refused.stderr
    assert crowd("diff", file).exit_code == 2
