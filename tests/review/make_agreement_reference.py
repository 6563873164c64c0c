"""How agreement_reference.json was made: by NLTK 3.10.4 and Crowd-Kit 1.4.2 (Apache-2.0) of our cases.

They are no dependencies: Crowd-Kit asks for transformers and pyarrow, of which these functions use nothing.
In an environment of its own, from the root of this repository:
    pip install nltk==3.10.4 numpy pandas scikit-learn attrs && pip install --no-deps crowd-kit==1.4.2
    python -m tests.review.make_agreement_reference
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-not-found,import-untyped,unused-ignore]
from crowdkit.aggregation.classification.dawid_skene import DawidSkene  # type: ignore[import-not-found,unused-ignore]
from crowdkit.aggregation.classification.majority_vote import MajorityVote  # type: ignore[import-not-found,unused-ignore]
from nltk.metrics.agreement import AnnotationTask  # type: ignore[import-not-found,unused-ignore]
from nltk.metrics.distance import masi_distance  # type: ignore[import-not-found,unused-ignore]

from tests.review import agreement_cases as cases

FILE = Path(__file__).with_name("agreement_reference.json")
ALIKE = 3


def alpha(table: cases.Table) -> float:
    """Krippendorff's α of a table of sets, by MASI's distance."""
    rows = [
        (person, image, frozenset(named))
        for image, people in enumerate(table)
        for person, named in enumerate(people)
    ]
    return float(AnnotationTask(rows, distance=masi_distance).alpha())


def consensus(votes: list[tuple[str, ...]]) -> dict[str, Any]:
    """What most voters name, style by style, and the style that most of them name first."""
    named = sorted({style for vote in votes for style in vote})
    said = [(style, voter, style in vote) for voter, vote in enumerate(votes) for style in named]
    whether = MajorityVote().fit_predict(_answers(said))
    first = MajorityVote().fit_predict(_answers([(0, voter, vote[0]) for voter, vote in enumerate(votes)]))
    return {"named": [style for style in named if whether[style]], "main": first[0]}


def likeliest(named: list[str], aims: list[float]) -> dict[str, float]:
    """By style its probability: Dawid and Skene's E-step with everybody's errors known, of styles alike."""
    styles = list(dict.fromkeys(named))
    styles += [f"unnamed {number}" for number in range(ALIKE + 1 - len(styles))]
    answers = _answers([(0, voter, style) for voter, style in enumerate(named)])
    index = pd.MultiIndex.from_product([range(len(named)), styles], names=["worker", "label"])
    errors = pd.DataFrame(
        [
            [aims[voter] if true == said else (1 - aims[voter]) / ALIKE for true in styles]
            for voter, said in index
        ],
        index=index,
        columns=styles,
    )
    priors = pd.Series(1 / len(styles), index=styles)
    found = DawidSkene._e_step(answers, priors, errors).loc[0]
    return {style: float(found[style]) for style in dict.fromkeys(named)}


def _answers(rows: list[tuple[Any, Any, Any]]) -> Any:
    return pd.DataFrame(rows, columns=["task", "worker", "label"])


def main() -> None:
    """Write the file."""
    reference = {
        "masi": [float(masi_distance(set(a), set(b))) for a, b in cases.pairs()],
        "alpha": [alpha(table) for table in cases.tables()],
        "consensus": [consensus(votes) for votes in cases.votes()],
        "likeliest": [likeliest(*each) for each in cases.weighed()],
    }
    FILE.write_text(json.dumps(reference, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
