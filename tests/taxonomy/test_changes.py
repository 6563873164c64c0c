"""What differs between versions of a taxonomy, and what may not be taken away."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from crowd.taxonomy import (
    Change,
    TaxonomyError,
    Turn,
    compare,
    load_taxonomy,
    lost,
    parse_taxonomy,
    read_taxonomy,
    write_taxonomy,
)

KFASHION = load_taxonomy()
Edit = Callable[[dict[str, Any]], object]


def edited(edit: Edit) -> dict[str, Any]:
    document = copy.deepcopy(KFASHION.document)
    edit(document)
    return document


def changed(edit: Edit) -> list[Change]:
    return compare(KFASHION, parse_taxonomy(edited(edit)))


def refused(edit: Edit) -> dict[str, list[str]]:
    return lost(KFASHION, parse_taxonomy(edited(edit)))


def entry(document: dict[str, Any], listing: str, key: str) -> dict[str, Any]:
    return next(each for each in document[listing] if each.get("key", each.get("code")) == key)


def value(document: dict[str, Any], attribute: str, key: str) -> dict[str, Any]:
    return entry(entry(document, "attributes", attribute), "values", key)


def drop(document: dict[str, Any], listing: str, key: str) -> None:
    document[listing].remove(entry(document, listing, key))


def test_texts_change_by_their_path_and_nothing_is_lost() -> None:
    def edit(document: dict[str, Any]) -> None:
        entry(document, "styles", "street")["definition"] = {"en": "From the street.", "ko": "거리의 옷."}
        entry(document, "styles", "resort")["guidance"]["items"] = ["롱 드레스"]
        value(document, "detail", "beads")["en"] = "Bead work"

    told = {change.path: change for change in changed(edit)}
    assert set(told) == {
        "attributes.detail.values.beads.en",
        "styles.street.definition.en",
        "styles.street.definition.ko",
        "styles.street.definition.ours",
        "styles.resort.guidance.items",
    }
    assert told["attributes.detail.values.beads.en"] == Change(
        "attributes.detail.values.beads.en", Turn.CHANGED, "Beads", "Bead work"
    )
    assert told["styles.resort.guidance.items"].after == ["롱 드레스"]
    assert refused(edit) == {}


def test_what_is_added_retired_and_ordered_anew_is_told_once_and_nothing_is_lost() -> None:
    def edit(document: dict[str, Any]) -> None:
        document["styles"].insert(0, {"key": "gorpcore", "en": "Gorpcore", "ko": "고프코어"})
        value(document, "color", "neon")["retired"] = True
        parts = document["parts"]
        parts[0], parts[1] = parts[1], parts[0]

    told = {(change.path, change.turn) for change in changed(edit)}
    assert told == {
        ("styles.gorpcore", Turn.ADDED),
        ("attributes.color.values.neon", Turn.RETIRED),
        ("parts", Turn.ORDERED),
    }
    assert refused(edit) == {}


def test_a_retired_value_keeps_its_name_and_its_export_and_is_not_offered() -> None:
    document = edited(lambda made: value(made, "color", "neon").update(retired=True))
    taxonomy = parse_taxonomy(document)
    assert taxonomy.released_value("color", "top", "neon").ko == "네온"
    public = {each["key"]: each for each in taxonomy.public()["attributes"]}
    for name in ("color", "sub_color"):
        assert "neon" not in public[name]["values_by_part"]["top"]
        assert [each["key"] for each in public[name]["values"] if each.get("retired")] == ["neon"]
    back = compare(taxonomy, KFASHION)
    assert [(change.path, change.turn) for change in back] == [
        ("attributes.color.values.neon", Turn.RESTORED)
    ]


@pytest.mark.parametrize(
    ("path", "edit"),
    [
        ("styles.punk", lambda document: drop(document, "styles", "punk")),
        ("reasons.other", lambda document: drop(document, "reasons", "other")),
        ("unusable.overlap", lambda document: drop(document, "unusable", "overlap")),
        ("attributes.sub_color", lambda document: drop(document, "attributes", "sub_color")),
        (
            "attributes.color.values.neon",
            lambda document: drop(entry(document, "attributes", "color"), "values", "neon"),
        ),
        (
            "attributes.category.values.swimwear.parts",
            lambda document: value(document, "category", "swimwear").update(parts=["top", "bottom"]),
        ),
        (
            "attributes.detail.multiple",
            lambda document: entry(document, "attributes", "detail").update(multiple=False),
        ),
        (
            "attributes.detail.parts",
            lambda document: entry(document, "attributes", "detail").update(parts=["top", "outer", "bottom"]),
        ),
    ],
)
def test_what_labels_may_hold_stays(path: str, edit: Edit) -> None:
    assert path in refused(edit)


def test_a_code_that_was_changed_is_recognised_by_its_name() -> None:
    found = refused(lambda document: entry(document, "styles", "punk").update(key="punk-rock"))
    (texts,) = found.values()
    assert list(found) == ["styles.punk"]
    assert "punk-rock bears its name" in texts[0]


def test_an_attribute_that_shares_values_is_not_blamed_twice() -> None:
    found = refused(lambda document: drop(entry(document, "attributes", "color"), "values", "neon"))
    assert list(found) == ["attributes.color.values.neon"]


def test_what_is_written_reads_as_the_same() -> None:
    assert read_taxonomy(write_taxonomy(KFASHION)).digest == KFASHION.digest


def test_a_definition_is_in_both_languages_and_longer_than_a_name() -> None:
    long = "긴 설명. " * 60 + "끝"
    made = parse_taxonomy(
        edited(lambda document: document["styles"][0].update(definition={"en": "Of the street.", "ko": long}))
    )
    assert made.public()["styles"][0]["definition"] == {"en": "Of the street.", "ko": long, "ours": False}
    with pytest.raises(TaxonomyError) as caught:
        parse_taxonomy(edited(lambda document: document["styles"][0].update(definition={"en": "Only"})))
    assert list(caught.value.errors) == ["styles[0].definition.ko"]
