"""What the watch over quality has to show: versions with scores, a report of growing data, drift, alerts."""

import tempfile
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from crowd.core import clock
from crowd.images import queries as images
from crowd.images.models import Supplier
from crowd.ml import queries
from crowd.ml.watch import service
from crowd.ml.watch.models import Arrival
from crowd.policy import Stage
from tests.browser.house import House
from tests.ml.shelf import add_card, attributes_card, promote, styles_card

# Training images, then the error on training, validation and benchmark images.
GROWN = ((300, 0.31, 0.52, 0.55), (600, 0.27, 0.44, 0.47), (1200, 0.24, 0.36, 0.41), (2400, 0.22, 0.33, 0.40))
SCORES = (0.45, 0.53, 0.59, 0.6)
WEEKS = range(202638, 202646)
SHIFTED = 202643


def watch(house: House) -> None:
    """Four versions of one model and one of another, both watched. Wants a furnished house."""
    with tempfile.TemporaryDirectory() as folder:
        versions = [
            add_card(house.rt, Path(folder), attributes_card(benchmark=_score(score)), seed, "tagger")
            for seed, score in enumerate(SCORES)
        ]
        styler = add_card(house.rt, Path(folder), styles_card(), 9, "ml-gcn")
    for model_id in (*versions[-2:], styler):
        promote(house.rt, model_id)
    now = clock.now()
    with house.rt.db.begin() as conn:
        tagger = queries.model(conn, versions[-1])
        assert tagger is not None
        service.keep_report(conn, tagger, _report(), now)
        suppliers = [images.named(conn, Supplier, name, now) for name in ("Studio", "Market")]
        rows = [
            {
                "model_id": styler,
                "supplier_id": supplier,
                "week": week,
                "answer": answer,
                "images": count + 9 * ((week + place) % 3),
            }
            for place, supplier in enumerate(suppliers)
            for week in WEEKS
            for answer, count in _answers(week == SHIFTED and place == 1)
        ]
        conn.execute(sa.insert(Arrival), rows)
        service.raise_alerts(conn, versions[-1], Stage.ATTRIBUTES, now)
        service.raise_alerts(conn, styler, Stage.STYLES, now)


def _score(score: float) -> dict[str, Any]:
    return {"set": "benchmark", "measure": "top1", "score": score}


def _answers(shifted: bool) -> tuple[tuple[str, int], ...]:
    usual = (("style: street", 90), ("style: resort", 25), ("style: modern", 20))
    return (("style: street", 20), ("style: resort", 95), ("style: modern", 20)) if shifted else usual


def _report() -> dict[str, Any]:
    def told(error: float) -> dict[str, Any]:
        return {"error": error, "top3": 1 - error / 3, "by": {"color": error, "fit": min(1.0, 1.4 * error)}}

    points = [
        {"images": count, "train": told(train), "validation": told(validation), "test": told(test)}
        for count, train, validation, test in GROWN
    ]
    return {"task": "attributes", "headline": "top1", "points": points}
