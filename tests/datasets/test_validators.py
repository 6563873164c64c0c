"""Other people's readers load the exports: pycocotools, datasets, webdataset, mlcroissant."""

import io
import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.datasets.test_formats import IMAGES, Released, database_url, released

__all__ = ["database_url", "released"]


def reader(name: str) -> Any:
    """The package; where it is not installed the test is skipped, under CI=true an error."""
    if os.environ.get("CI") == "true":
        return import_module(name)
    return pytest.importorskip(name)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of the test's own for what a reader keeps; nothing is asked of any network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return str(tmp_path / "cache")


def test_pycocotools_draws_the_masks(released: Released, tmp_path: Path) -> None:
    api = reader("pycocotools.coco")
    folder = released.write("coco", "instances", tmp_path / "out")
    seen = {}
    for path in folder.glob("annotations/*.json"):
        coco = api.COCO(str(path))
        for image in coco.loadImgs(coco.getImgIds()):
            annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
            assert {coco.annToMask(each).shape for each in annotations} == {(60, 40)}
            assert all(coco.annToMask(each).sum() > 10 for each in annotations)
            seen[image["id"]] = [each["attributes"] for each in annotations]
    assert seen == {
        number: [region["attributes"] for region in labels["regions"]]
        for number, labels in released.stored.items()
    }


@pytest.mark.parametrize("layout", ["embedded", "referenced"])
def test_datasets_loads_images_classes_and_regions(
    released: Released, tmp_path: Path, cache: str, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    datasets = reader("datasets")
    folder = released.write("parquet", layout, tmp_path / "out")
    monkeypatch.chdir(folder)
    files = {split: f"data/{split}-*.parquet" for split in ("train", "validation", "test")}
    sets = datasets.load_dataset("parquet", data_files=files, cache_dir=cache)
    assert sum(len(each) for each in sets.values()) == IMAGES
    features = sets["train"].features
    assert isinstance(features["image"], datasets.Image)
    assert isinstance(features["styles"].feature, datasets.ClassLabel)
    for row in (row for each in sets.values() for row in each):
        stored = released.stored[row["id"]]
        expected = Image.open(io.BytesIO(released.images[row["id"]]))
        assert row["image"].tobytes() == expected.tobytes()
        assert [features["styles"].feature.int2str(style) for style in row["styles"]] == stored["styles"]
        for region, wanted in zip(row["regions"], stored["regions"], strict=True):
            assert region["rings"] == wanted["rings"]
            category = features["regions"].feature["category"]
            assert category.int2str(region["category"]) == wanted["attributes"]["category"]


def test_webdataset_reads_the_shards(released: Released, tmp_path: Path) -> None:
    webdataset = reader("webdataset")
    folder = released.write("webdataset", "shards", tmp_path / "out")
    shards = sorted(str(path) for path in folder.glob("*.tar"))
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode())
    labels = {each["json"]["id"]: each["json"] for each in samples}
    assert labels == released.stored
    assert all(each["__key__"] == f"{each['json']['id']:012}" for each in samples)


@pytest.mark.parametrize(
    ("name", "layout"),
    [("kfashion", "release"), ("coco", "instances"), ("webdataset", "shards"), ("table", "guideline")],
)
def test_mlcroissant_accepts_the_metadata_and_reads_the_records(
    released: Released, tmp_path: Path, name: str, layout: str
) -> None:
    mlcroissant = reader("mlcroissant")
    folder = released.write(name, layout, tmp_path / "out")
    dataset = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    assert not issues.warnings, issues.report()
    records = list(dataset.records(record_set="records"))
    assert {record["records/id"] for record in records} == set(released.stored)
    assert json.loads((folder / "croissant.json").read_text())["name"] == "first"
