"""What is read of a K-Fashion folder must be what was written to it, and trouble must be named."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crowd.datasets.formats.kfashion import Layout
from crowd.ml.data import MARKER, SPLITS, DataError, DataSet, read_folder
from crowd.simulation.synthetic import Order, pictures, write_set
from crowd.taxonomy import Taxonomy

Json = dict[str, Any]


def changed(few: Path, tmp_path: Path, change: Callable[[Json], None]) -> tuple[Path, int]:
    """A copy of the set with one JSON changed; returns the copy and the number of the changed image."""
    folder = tmp_path / "copy"
    shutil.copytree(few, folder)
    path = min(folder.rglob("[0-9]*.json"))
    form = json.loads(path.read_bytes())
    change(form)
    path.write_bytes(json.dumps(form, ensure_ascii=False).encode())
    return folder, int(path.stem)


def test_styles_parts_and_colours_are_read_as_they_were_drawn(few_read: DataSet) -> None:
    drawn = {picture.number: picture for picture in pictures(Order(40, seed=2, size=64))}
    assert [sample.id for sample in few_read.samples] == sorted(drawn)
    for sample in few_read.samples:
        outfit = drawn[sample.id].outfit
        assert list(sample.styles) == outfit.styles
        assert sample.split == drawn[sample.id].split
        worn = {garment.part: garment for garment in outfit.garments}
        for garment in sample.garments:
            assert garment.attributes["color"] == (worn[garment.part].color,)
            assert garment.attributes.get("fit") == (worn[garment.part].fit,)
            assert set(garment.attributes.get("detail", ())) <= set(worn[garment.part].detail)
    assert {len(sample.garments) for sample in few_read.samples} >= {1, 2, 3}


def test_outlines_lie_in_the_image_and_an_open_coat_is_one_garment_of_two(few_read: DataSet) -> None:
    rings: dict[str, set[int]] = {}
    for sample in few_read.samples:
        for garment in sample.garments:
            left, top, right, bottom = garment.box
            assert 0 <= left < right <= sample.width
            assert 0 <= top < bottom <= sample.height
            rings.setdefault(garment.part, set()).add(len(garment.rings))
    assert max(rings["outer"]) >= 2


def test_both_layouts_say_the_same(few_read: DataSet, taxonomy: Taxonomy, tmp_path: Path) -> None:
    order = Order(40, seed=2, size=64, layout=Layout.GUIDELINE)
    write_set(tmp_path, order, 1, lambda done: None)
    other = read_folder(tmp_path, taxonomy)
    for sample, twin in zip(few_read.samples, other.samples, strict=True):
        assert (sample.id, sample.split, sample.garments, sample.styles) == (
            twin.id,
            twin.split,
            twin.garments,
            twin.styles,
        )
        assert sample.image.read_bytes() == twin.image.read_bytes()
    (tmp_path / "manifest.csv").unlink()
    with pytest.raises(DataError, match=r"manifest\.csv"):
        read_folder(tmp_path, taxonomy)


@pytest.mark.parametrize("told", ["", "[]", '{"release": "spring"}'])
def test_a_folder_that_tells_of_no_release_is_of_none(
    few: Path, few_read: DataSet, taxonomy: Taxonomy, tmp_path: Path, told: str
) -> None:
    assert few_read.release is None
    shutil.copytree(few, tmp_path / "copy")
    (tmp_path / "copy" / MARKER).write_text(told)
    assert read_folder(tmp_path / "copy", taxonomy).release is None


def test_splits_share_no_image(few_read: DataSet) -> None:
    parts = [few_read.of(split) for split in SPLITS]
    assert sum(map(len, parts)) == len(few_read.samples)
    assert all(parts)


def test_words_the_taxonomy_lacks_are_counted_and_a_misspelling_is_read(
    few: Path, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    def change(form: Json) -> None:
        labels = form["데이터셋 정보"]["데이터셋 상세설명"]["라벨링"]
        part = next(part for part in ("상의", "원피스") if labels[part] != [{}])
        labels[part][0]["색상"] = "투명"
        labels[part][0]["디테일"] = ["퀄팅"]

    folder, number = changed(few, tmp_path, change)
    data = read_folder(folder, taxonomy)
    assert data.unknown == {"color 투명": 1}
    sample = next(sample for sample in data.samples if sample.id == number)
    garment = next(each for each in sample.garments if each.part in ("top", "dress"))
    assert "color" not in garment.attributes
    assert garment.attributes["detail"] == ("quilting",)


def test_two_garments_of_one_part_keep_their_own_labels_and_undecided_pieces_have_none(
    few: Path, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    triangle = {f"{axis}좌표{n}": float(n * n + (axis == "Y")) for n in (1, 2, 3) for axis in "XY"}

    def change(form: Json) -> None:
        detail = form["데이터셋 정보"]["데이터셋 상세설명"]
        detail["폴리곤좌표"]["아우터"] = [triangle, triangle]
        detail["라벨링"]["아우터"] = [{"색상": "블랙"}, {"색상": "레드"}]
        detail["폴리곤좌표"]["상의"] = [triangle, triangle, triangle]
        detail["라벨링"]["상의"] = [{"색상": "블랙"}, {"색상": "레드"}]

    folder, number = changed(few, tmp_path, change)
    sample = next(sample for sample in read_folder(folder, taxonomy).samples if sample.id == number)
    outers = [garment.attributes["color"] for garment in sample.garments if garment.part == "outer"]
    assert outers == [("black",), ("red",)]
    assert [garment.attributes for garment in sample.garments if garment.part == "top"] == [{}, {}, {}]


def test_polygon_points_are_sorted_as_numbers(few: Path, taxonomy: Taxonomy, tmp_path: Path) -> None:
    points = {f"{axis}좌표{n}": float(n) for n in range(12, 0, -1) for axis in "XY"}

    def change(form: Json) -> None:
        form["데이터셋 정보"]["데이터셋 상세설명"]["폴리곤좌표"]["아우터"] = [points]

    folder, number = changed(few, tmp_path, change)
    sample = next(sample for sample in read_folder(folder, taxonomy).samples if sample.id == number)
    ring = next(garment.rings[0] for garment in sample.garments if garment.part == "outer")
    assert ring == tuple((float(n), float(n)) for n in range(1, 13))


def lose_image(folder: Path) -> str:
    path = next(folder.rglob("*.jpg"))
    path.unlink()
    return path.name


def break_json(folder: Path) -> str:
    path = next(folder.rglob("[0-9]*.json"))
    path.write_text("{")
    return path.name


def repeat_number(folder: Path) -> str:
    path = next(folder.rglob("[0-9]*.json"))
    other = path.parent.parent / "again"
    other.mkdir()
    shutil.copy(path, other)
    shutil.copy(path.with_suffix(".jpg"), other)
    return "twice"


@pytest.mark.parametrize("harm", [lose_image, break_json, repeat_number])
def test_a_folder_that_is_harmed_is_refused_with_the_file_named(
    harm: Callable[[Path], str], few: Path, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    shutil.copytree(few, tmp_path / "copy")
    said = harm(tmp_path / "copy")
    with pytest.raises(DataError) as refused:
        read_folder(tmp_path / "copy", taxonomy)
    assert said in refused.value.detail


def test_a_folder_that_is_not_there_or_empty_is_refused(taxonomy: Taxonomy, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        read_folder(tmp_path / "nowhere", taxonomy)
    with pytest.raises(DataError, match="holds no K-Fashion files"):
        read_folder(tmp_path, taxonomy)


def test_a_set_is_told_from_others_of_its_name_by_numbers_and_labels(few_read: DataSet) -> None:
    assert few_read.called("test") == f"set test {few_read.digest('test')}"
    assert replace(few_read, samples=few_read.samples[::-1]).called("test") == few_read.called("test")
    one, *rest = few_read.of("test")
    for other in (
        replace(one, id=10**6),
        replace(one, styles=(*one.styles, "another")),
        replace(one, garments=()),
    ):
        changed = replace(few_read, samples=(*few_read.of("train"), other, *rest))
        assert changed.digest("test") != few_read.digest("test")
        assert changed.digest("train") == few_read.digest("train")
    released = replace(few_read, release=("spring", "2026-03-01T09:30:00.000Z"))
    assert released.called("test").startswith("spring test ")
