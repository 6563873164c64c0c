"""`crowd train … --grow`: nested amounts, errors on three sets, a report that the registry keeps."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from crowd.cli import main
from crowd.ml.data import TRAIN, DataSet
from crowd.ml.training.growth import part_of
from crowd.ml.watch.service import curves_of

QUICK = (
    "--backbone",
    "resnet18",
    "--image-size",
    "32",
    "--epochs",
    "1",
    "--batch-size",
    "8",
    "--workers",
    "0",
)


def grown(*words: object) -> Result:
    command = ["train", "styles", *map(str, words), "--model", "baseline", "--device", "cpu", *QUICK]
    return CliRunner().invoke(main, command)


def test_a_larger_amount_holds_every_smaller_one(few_read: DataSet) -> None:
    samples = few_read.of(TRAIN)
    amounts = [{sample.id for sample in part_of(samples, share, 3)} for share in (0.25, 0.5, 1.0)]
    assert amounts[0] < amounts[1] < amounts[2] == {sample.id for sample in samples}
    assert len(amounts[1]) == round(len(samples) / 2)
    assert {sample.id for sample in part_of(samples, 0.5, 4)} != amounts[1]


def test_errors_are_told_at_each_amount_and_on_the_benchmark_set(few: Path, tmp_path: Path) -> None:
    done = grown(few, "--output", tmp_path, "--grow", "0.5,1", "--benchmark", few)
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "growth.json").read_bytes())
    assert [point["share"] for point in report["points"]] == [0.5, 1.0]
    assert report["points"][0]["images"] < report["points"][1]["images"]
    for point in report["points"]:
        for split in ("train", "validation", "test"):
            assert 0 <= point[split]["error"] <= 1
            assert 0 <= point[split]["top3"] <= 1
    # Every image of the benchmark set is tested on, so more styles have a figure than in its test split.
    assert sum(error is not None for error in report["points"][0]["test"]["by"].values()) > 4
    assert [point.images for point in curves_of(report)[""]] == [each["images"] for each in report["points"]]
    with Image.open(tmp_path / "growth.png") as picture:
        assert picture.width > picture.height


@pytest.mark.parametrize("shares", ["", "0,1", "half", "0.001"])
def test_shares_that_cannot_be_are_refused(few: Path, tmp_path: Path, shares: str) -> None:
    done = grown(few, "--output", tmp_path, "--grow", shares or ",")
    assert (done.exit_code, "--grow" in done.stderr) == (2, True)
