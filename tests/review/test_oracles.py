"""MASI, α over sets and the consensus of several people's styles, as NLTK and Crowd-Kit reckon them.

make_agreement_reference.py says how the reference came about.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from crowd.review import agreement
from crowd.tasks.rules import majority_style, settled_styles
from crowd.tasks.votes import likeliest
from tests.review import agreement_cases as cases

REFERENCE: dict[str, Any] = json.loads(
    Path(__file__).with_name("agreement_reference.json").read_text(encoding="utf-8")
)
ALIKE = 3


def test_masi_is_that_of_nltk() -> None:
    found = [agreement.masi(frozenset(a), frozenset(b)) for a, b in cases.pairs()]
    assert found == pytest.approx(REFERENCE["masi"], abs=1e-12)
    # Equal, apart, one in the other, crossing.
    assert {0.0, 1.0} < set(found)
    assert len(set(found)) > 6


def test_alpha_over_sets_is_that_of_nltk() -> None:
    found = [
        agreement.alpha(
            agreement.coincidences([[frozenset(named) for named in row] for row in table]), agreement.masi
        )
        for table in cases.tables()
    ]
    assert found == pytest.approx(REFERENCE["alpha"], abs=1e-12)
    assert max(REFERENCE["alpha"]) > 0.8
    assert abs(REFERENCE["alpha"][-1]) < 0.1, "of people who agree by chance alone"


def test_settled_styles_are_those_that_crowd_kits_majority_names() -> None:
    main_styles = 0
    for votes, known in zip(cases.votes(), REFERENCE["consensus"], strict=True):
        main = majority_style(votes)
        if main is None:
            continue
        main_styles += 1
        assert main == known["main"]
        settled = settled_styles(votes)["styles"]
        assert settled[0] == main
        # The main style is settled by first places alone, and whoever names it first names it.
        assert sorted(settled) == known["named"]
    assert main_styles > 30


def test_the_likeliest_style_is_that_of_dawid_and_skene_with_errors_known() -> None:
    for (named, aims), known in zip(cases.weighed(), REFERENCE["likeliest"], strict=True):
        style, chance = likeliest(named, aims, ALIKE)
        assert chance == pytest.approx(known[style], abs=1e-9)
        assert known[style] == pytest.approx(max(known.values()))
