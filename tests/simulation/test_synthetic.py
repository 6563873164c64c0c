"""A drawn set must be what a release is: sound to an outside look, the same again, long-tailed, split."""

import csv
import hashlib
import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from click.testing import CliRunner

from crowd.cli import main
from crowd.datasets.check import check_export
from crowd.datasets.formats.kfashion import Layout
from crowd.simulation.synthetic import Order, pictures, write_set

IMAGES = 24


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "set"
    write_set(folder, Order(IMAGES, seed=3, size=96), 1, lambda done: None)
    return folder


@pytest.mark.parametrize("layout", Layout)
def test_a_set_is_sound_in_the_eyes_of_the_check_of_exports(layout: Layout, tmp_path: Path) -> None:
    write_set(tmp_path, Order(6, seed=1, size=64, layout=layout), 1, lambda done: None)
    report = check_export(tmp_path)
    assert (report.images, report.problems) == (6, [])


def test_the_same_order_gives_the_same_bytes_with_more_processes_and_another_seed_does_not(
    drawn: Path, tmp_path: Path
) -> None:
    write_set(tmp_path / "again", Order(IMAGES, seed=3, size=96), 2, lambda done: None)
    assert files(tmp_path / "again") == files(drawn)
    write_set(tmp_path / "other", Order(2, seed=4, size=96), 1, lambda done: None)
    images = {name: data for name, data in files(tmp_path / "other").items() if name.endswith(".jpg")}
    assert len(images) == 2
    assert not set(images.values()) & set(files(drawn).values())


def test_every_image_is_listed_with_its_digest(drawn: Path) -> None:
    with (drawn / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == list(range(1, IMAGES + 1))
    for row in rows:
        image = row["files"].split(";")[0]
        assert hashlib.sha256((drawn / image).read_bytes()).hexdigest() == row["sha256"]


def test_images_have_the_width_that_was_asked_for_and_garments_of_their_own_scale(drawn: Path) -> None:
    seen = set()
    for path in drawn.rglob("[0-9]*.json"):
        form = json.loads(path.read_bytes())
        assert form["이미지 정보"]["이미지 너비"] == 96
        rects = form["데이터셋 정보"]["데이터셋 상세설명"]["렉트좌표"]
        seen |= {part for part, found in rects.items() if found != [{}]}
        assert sum(len(found) for found in rects.values() if found != [{}]) >= 1
    assert seen >= {"상의", "하의", "원피스"}


def test_two_shots_of_a_look_wear_the_same_and_lie_in_one_split() -> None:
    first, second, other = pictures(Order(400, seed=5, size=96))[100:103]
    assert first.outfit == second.outfit != other.outfit
    assert first.split == second.split


def test_sets_are_long_tailed_split_in_ten_and_styles_keep_company() -> None:
    made = pictures(Order(4000, seed=6, size=96))
    mains = Counter(picture.outfit.styles[0] for picture in made)
    assert 0.43 < mains["street"] / len(made) < 0.51
    assert min(mains.values()) < 0.01 * len(made)
    assert [count for _, count in Counter(str(picture.split) for picture in made).most_common()] == [
        3200,
        400,
        400,
    ]
    seconds = Counter(picture.outfit.styles[1] for picture in made if len(picture.outfit.styles) > 1)
    assert 0.4 < sum(seconds.values()) / len(made) < 0.56
    assert seconds["genderless"] > 2 * mains["genderless"]


def test_colours_go_with_styles() -> None:
    colors: dict[str, Counter[str]] = defaultdict(Counter)
    for picture in pictures(Order(3000, seed=8, size=96)):
        colors[picture.outfit.styles[0]].update(garment.color for garment in picture.outfit.garments)
    assert colors["romantic"]["lavender"] > 0.08 * colors["romantic"].total()
    assert colors["street"]["lavender"] == 0


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path, drawn: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for folder, seed in ((tmp_path, "3"), (drawn, "4")):
        before = files(folder)
        words = ["synthetic", str(folder), "--images", "2", "--size", "96", "--seed", seed]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 2
        assert "holds something other" in result.stderr
        assert files(folder) == before


def test_the_command_says_how_fast_it_was_and_can_be_given_again(tmp_path: Path) -> None:
    words = ["synthetic", str(tmp_path / "set"), "--images", "2", "--size", "64", "--processes", "1"]
    assert "2 images in" in CliRunner().invoke(main, words).stdout
    lost = next((tmp_path / "set").rglob("*.jpg"))
    data = lost.read_bytes()
    lost.unlink()
    assert CliRunner().invoke(main, words).exit_code == 0
    assert lost.read_bytes() == data


@pytest.mark.parametrize("option", [("--size", "8"), ("--images", "0"), ("--layout", "zip")])
def test_options_out_of_range_are_refused(tmp_path: Path, option: tuple[str, str]) -> None:
    words = ["synthetic", str(tmp_path / "set"), "--images", "2", *option]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert option[0] in result.stderr
    assert not (tmp_path / "set").exists()
