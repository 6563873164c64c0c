"""Guidelines: what comes with the product, what admins write over it, and what people are told."""

from typing import Any

import pytest

from crowd.policy import Grade, Stage
from crowd.tasks.guidelines import service
from crowd.tasks.guidelines.models import Language
from tests.kinds import Answer, Bearer, Client, Headers, MakeWorker

TEXT = "## Outlines\n\n- Along the **edge**.\n"


class House:
    """An admin who writes and a labeller who reads."""

    def __init__(self, client: Client, make_worker: MakeWorker, bearer: Bearer) -> None:
        self.client = client
        self.admin = bearer(make_worker(Grade.ADMIN)[1])
        self.labeller = bearer(make_worker(Grade.GENERAL)[1])

    def read(self, lang: str = "en", known: str = "") -> Answer:
        path = f"/api/v1/guidelines/segmentation?lang={lang}"
        return self.client.get(path, headers={**self.labeller, "If-None-Match": known})

    def write(self, after: int = 0, text: str = TEXT, who: Headers | None = None, **more: Any) -> Answer:
        body = {"language": "en", "text": text, "reason": "clearer", "after": after, **more}
        return self.client.post("/api/v1/guidelines/segmentation", json=body, headers=who or self.admin)


@pytest.fixture
def house(client: Client, make_worker: MakeWorker, bearer: Bearer) -> House:
    return House(client, make_worker, bearer)


def test_every_stage_has_a_guideline_in_both_languages_with_the_same_points() -> None:
    for stage in Stage:
        english, korean = (service.built_in(stage, language).splitlines() for language in Language)
        assert [line[:2] for line in english] == [line[:2] for line in korean], stage
        assert any(line.startswith("- ") for line in english), stage
        assert any("가" <= char <= "힣" for line in korean for char in line), stage


def test_what_comes_with_the_product_holds_until_an_admin_writes(house: House) -> None:
    first = house.read()
    assert (first.json["version"], first.json["at"]) == (0, None)
    assert first.json["text"] == service.built_in(Stage.SEGMENTATION, Language.EN)
    written = house.write()
    assert (written.status_code, written.json["version"]) == (201, 1)
    assert house.read().json["text"] == TEXT
    assert house.read("ko").json["version"] == 0, "each language has versions of its own"


def test_the_same_version_is_not_sent_twice_and_a_new_one_is(house: House) -> None:
    etag = house.read().headers["ETag"]
    again = house.read(known=etag)
    assert (again.status_code, again.data) == (304, b"")
    house.write()
    assert house.read(known=etag).json["text"] == TEXT


def test_of_two_who_write_at_once_the_second_reads_first(house: House) -> None:
    assert house.write().status_code == 201
    late = house.write(text="- Something else.")
    assert (late.status_code, late.json["code"]) == (409, "changed")
    assert house.write(after=1, text="- Something else.").json["version"] == 2


def test_every_version_stays_with_who_wrote_it_and_why(house: House) -> None:
    house.write()
    house.write(after=1, text="- Two.", reason="shorter")
    path = "/api/v1/guidelines/segmentation/versions?lang=en&limit=1"
    first = house.client.get(path, headers=house.admin).json
    assert [(each["version"], each["reason"]) for each in first["items"]] == [(2, "shorter")]
    rest = house.client.get(f"{path}&cursor={first['next_cursor']}", headers=house.admin).json
    assert [(each["version"], each["text"]) for each in rest["items"]] == [(1, TEXT)]
    assert rest["next_cursor"] is None


def test_labellers_read_and_do_not_write(house: House) -> None:
    assert house.write(who=house.labeller).status_code == 403
    versions = "/api/v1/guidelines/segmentation/versions"
    assert house.client.get(versions, headers=house.labeller).status_code == 403


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"text": "  "}, "text"),
        ({"reason": " "}, "reason"),
        ({"text": "x" * 20_001}, "text"),
        ({"language": "fr"}, "language"),
        ({"after": "0"}, "after"),
        ({"after": 5}, "after"),
        ({"text": "a\x00b"}, "text"),
    ],
)
def test_what_is_wrong_is_named(house: House, more: dict[str, Any], path: str) -> None:
    answer = house.write(**more)
    assert (answer.status_code, list(answer.json["errors"])) == (422, [path])


def test_writing_the_same_again_is_no_version(house: House) -> None:
    house.write()
    assert house.write(after=1).status_code == 422


def test_a_stage_that_is_none_is_not_found(house: House) -> None:
    answer = house.client.get("/api/v1/guidelines/painting", headers=house.labeller)
    assert answer.status_code == 404
