"""Reading taxonomies of one's own: what is enough, and what is said about each mistake."""

import copy
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowd.policy import Stage
from crowd.taxonomy import KFASHION, Faulted, Match, TaxonomyError, load_taxonomy, parse_taxonomy

FURNITURE = """
name: Furniture
version: "3"
parts:
  - {key: seat, en: Seat, ko: 의자}
  - {key: table, en: Table, ko: 탁자}
attributes:
  - key: wood
    en: Wood
    ko: 목재
    values:
      - {key: oak, en: Oak, ko: 참나무}
      - {key: beech, en: Beech, ko: 너도밤나무}
  - key: legs
    en: Legs
    ko: 다리
    parts: [table]
    values:
      - {key: three, en: Three, ko: 셋}
  - key: inlay
    en: Inlay
    ko: 상감
    multiple: true
    parts: [table]
    values_from: wood
styles:
  - {key: shaker, en: Shaker, ko: 셰이커}
"""

KFASHION_TAXONOMY = load_taxonomy()

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "taxonomy.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def furniture(tmp_path: Path) -> dict[str, Any]:
    return load_taxonomy(written(tmp_path, FURNITURE)).document


def mistakes(document: object) -> dict[str, list[str]]:
    with pytest.raises(TaxonomyError) as caught:
        parse_taxonomy(document)
    return caught.value.errors


def file_mistake(path: Path) -> str:
    with pytest.raises(TaxonomyError) as caught:
        load_taxonomy(path)
    assert list(caught.value.errors) == ["file"]
    return caught.value.errors["file"][0]


def test_another_trades_taxonomy_needs_no_kfashion_fields(tmp_path: Path) -> None:
    taxonomy = load_taxonomy(written(tmp_path, FURNITURE))
    assert [attribute.key for attribute in taxonomy.attributes_for("seat")] == ["wood"]
    assert taxonomy.has_reason("wrong_entry")
    assert taxonomy.unusable
    assert not taxonomy.speaks_kfashion
    assert taxonomy.released_parts() == ()
    assert taxonomy.released_value("wood", "seat", "oak").how is Match.OMITTED


def test_shared_values_narrow_to_the_parts_of_the_borrower(tmp_path: Path) -> None:
    inlay = load_taxonomy(written(tmp_path, FURNITURE)).attribute("inlay")
    assert inlay is not None
    assert [value.key for value in inlay.values_for("table")] == ["oak", "beech"]
    assert {value.parts for value in inlay.values} == {("table",)}
    assert inlay.values_for("seat") == ()


@pytest.mark.parametrize("text", [FURNITURE, KFASHION.read_text()])
def test_the_document_reads_back_to_an_equal_taxonomy(tmp_path: Path, text: str) -> None:
    taxonomy = load_taxonomy(written(tmp_path, text))
    stored = json.loads(json.dumps(taxonomy.document))
    again = parse_taxonomy(stored)
    assert again == taxonomy
    assert again.digest == taxonomy.digest


def test_the_digest_is_of_what_is_said_not_of_how_it_is_written(tmp_path: Path) -> None:
    taxonomy = load_taxonomy(written(tmp_path, FURNITURE))
    backwards = dict(reversed(taxonomy.document.items()))
    renamed = taxonomy.document | {"name": "Chairs"}
    assert parse_taxonomy(backwards).digest == taxonomy.digest
    assert parse_taxonomy(renamed).digest != taxonomy.digest
    compact = json.dumps(taxonomy.document, sort_keys=True, separators=(",", ":"))
    assert taxonomy.digest == hashlib.sha256(compact.encode()).hexdigest()


def test_json_is_read_too(tmp_path: Path) -> None:
    document = furniture(tmp_path)
    assert load_taxonomy(written(tmp_path, json.dumps(document, indent=2))) == parse_taxonomy(document)


def test_every_mistake_is_named_at_once_with_its_path(tmp_path: Path) -> None:
    document = furniture(tmp_path)
    document["version"] = 3
    del document["parts"][0]["ko"]
    wood, legs, inlay = document["attributes"]
    wood["values"][1]["key"] = "oak"
    wood["values"][0]["nearest"] = "elm"
    wood["values"][0]["parts"] = ["roof"]
    legs["valeus"] = legs.pop("values")
    inlay["values_from"] = "stone"
    document["styles"][0] |= {"group": "plain", "percent": 101}
    document["reasons"] = [{"code": "x y", "en": "X", "ko": "엑스", "stages": ["dreaming"]}]
    document["unusable"] = []
    assert mistakes(document) == {
        "version": ["must be text, not a number (put it in quotes)"],
        "parts[0].ko": ["is missing"],
        "attributes.wood.values[0].nearest": ["names nothing with a released spelling of its own: 'elm'"],
        "attributes.wood.values[0].parts": ["'roof' is not among seat, table"],
        "attributes.wood.values[1].key": ["used twice: 'oak'"],
        "attributes.legs.valeus": ["unknown field (did you mean values?)"],
        "attributes.legs.values": ["is missing"],
        "attributes.inlay.values_from": ["names no attribute with values of its own: 'stone'"],
        "styles[0].group": ["is no style group: 'plain'"],
        "styles[0].percent": ["must be between 0 and 100"],
        "reasons[0].code": ["must be lower-case letters, digits and - _ / +, at most 64"],
        "reasons[0].stages": [
            "'dreaming' is not among segmentation, attributes, styles, first_review",
        ],
        "unusable": ["must not be empty"],
    }


def test_an_attribute_used_twice_is_told_by_its_number(tmp_path: Path) -> None:
    document = furniture(tmp_path)
    document["attributes"].append(copy.deepcopy(document["attributes"][0]))
    assert mistakes(document) == {"attributes[3].key": ["used twice: 'wood'"]}


@pytest.mark.parametrize(
    ("change", "path", "text"),
    [
        ({"released": "참나무", "nearest": "beech"}, "nearest", "cannot stand beside a released spelling"),
        ({"nearest": "oak"}, "nearest", "names nothing with a released spelling of its own: 'oak'"),
        ({"aliases": ["a", "a"]}, "aliases[1]", "used twice"),
        ({"aliases": "a"}, "aliases", "must be a list, not text"),
        ({"en": " "}, "en", "must not be empty"),
        ({"en": "two\nlines"}, "en", "must be one line without control characters"),
        ({"en": "nul\0"}, "en", "must be one line without control characters"),
        ({"en": "x" * 201}, "en", "must not be longer than 200 characters"),
        ({"en": ["Oak"]}, "en", "must be text, not a list"),
        ({"parts": []}, "parts", "must not be empty"),
    ],
)
def test_a_mistaken_value_is_told(tmp_path: Path, change: dict[str, Any], path: str, text: str) -> None:
    document = furniture(tmp_path)
    document["attributes"][0]["values"][0] |= change
    assert mistakes(document) == {f"attributes.wood.values[0].{path}": [text]}


def test_a_nearest_value_may_not_itself_be_a_stand_in(tmp_path: Path) -> None:
    document = furniture(tmp_path)
    values = document["attributes"][0]["values"]
    values[0]["nearest"] = "beech"
    values[1]["released"] = None
    assert list(mistakes(document)) == ["attributes.wood.values[0].nearest"]


def test_a_part_for_which_no_value_is_left_is_told(tmp_path: Path) -> None:
    document = furniture(tmp_path)
    for value in document["attributes"][0]["values"]:
        value["parts"] = ["table"]
    assert mistakes(document) == {"attributes.wood.parts": ["no value applies to 'seat'"]}


def test_values_and_values_from_exclude_each_other(tmp_path: Path) -> None:
    document = furniture(tmp_path)
    document["attributes"][1]["values_from"] = "wood"
    assert mistakes(document) == {"attributes.legs.values_from": ["cannot stand beside values"]}


@pytest.mark.parametrize("document", [None, [], "text", 3])
def test_something_other_than_a_mapping_is_one_mistake(document: object) -> None:
    assert list(mistakes(document)) == ["document"]


def test_an_empty_document_lacks_what_is_required() -> None:
    assert mistakes({}) == {
        name: ["is missing"] for name in ("name", "version", "parts", "attributes", "styles")
    }


@given(JSON)
def test_no_document_brings_anything_but_a_taxonomy_error(document: object) -> None:
    with pytest.raises(TaxonomyError):
        parse_taxonomy(document)


@given(st.data())
def test_no_damage_to_a_good_document_brings_anything_but_a_taxonomy_error(data: st.DataObject) -> None:
    document = KFASHION_TAXONOMY.document
    spot: Any = document
    while isinstance(spot, dict | list) and spot and data.draw(st.booleans()):
        step = data.draw(st.sampled_from(sorted(spot) if isinstance(spot, dict) else range(len(spot))))
        inner = spot[step]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            spot[step] = data.draw(JSON)
            break
        spot = inner
    try:
        parse_taxonomy(document)
    except TaxonomyError as error:
        assert error.errors


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [", "line 2, column 1"),
        ("name: A\nparts:\n  - {key: a\n  - b", "line 5"),
        ("name: A\nname: B\n", "line 2, column 1: 'name' is written twice"),
        ("a: &x [1]\nb: *x\n", "line 2, column 4: aliases (*name) are not understood"),
        ("name: !!python/object:os.system x\n", "line 1, column 7: tags (!name) are not understood"),
        ("name: !!int x\n", "tags (!name) are not understood"),
        ("? [a, b]\n: c\n", "a field needs a plain name"),
        ("name: \x00\n", "is not YAML"),
        ("[" * 5000, "is nested too deeply"),
        ("a: 1\n---\nb: 2\n", "line 2"),
        (b"name: A\nko: \xb0\xa1\n", "line 2 is not UTF-8"),
        (b"# " + b"x" * 1024 * 1024, "is larger than 1024 KiB"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(tmp_path: Path, text: str | bytes, said: str) -> None:
    assert said in file_mistake(written(tmp_path, text))


def test_a_day_is_text_and_an_impossible_one_no_crash(tmp_path: Path) -> None:
    path = written(tmp_path, FURNITURE.replace('"3"', "2026-13-45"))
    assert load_taxonomy(path).version == "2026-13-45"


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    assert "No such file" in file_mistake(tmp_path / "none.yaml")
    assert "cannot be read" in file_mistake(tmp_path)
    assert "path" in file_mistake(Path("nul\0"))


def test_the_message_lists_path_and_fault_line_by_line() -> None:
    with pytest.raises(TaxonomyError) as caught:
        parse_taxonomy({"name": "A", "parts": [], "attributes": 1, "styles": None, "version": "1"})
    assert str(caught.value).splitlines() == [
        "parts: must not be empty",
        "attributes: must be a list, not a number",
        "styles: is missing",
    ]


def test_reasons_find_fault_with_real_stages() -> None:
    assert {stage.value for stage in Faulted} <= {stage.value for stage in Stage}


def test_the_room_is_pure() -> None:
    probe = (
        "import sys, crowd.taxonomy; "
        "print(*{'flask', 'sqlalchemy', 'redis', 'rq', 'torch', 'marshmallow'} & set(sys.modules))"
    )
    seen = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert seen.stdout.split() == []
