"""Labelled images in: what other people's files say, in our words; out again it is equal."""

import hashlib
import io
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from PIL import Image as Picture
from pycocotools import mask as coco_masks

from crowd.cli import main
from crowd.core import clock
from crowd.core.config import Settings
from crowd.datasets import service
from crowd.datasets.exports import Place, write_export
from crowd.datasets.formats import coco
from crowd.datasets.formats.kfashion import Layout
from crowd.datasets.importing import is_clean_jpeg
from crowd.datasets.labelled import Labelled, read_coco, read_kfashion
from crowd.images import faces
from crowd.images.files import files_of
from crowd.images.models import Finding, Image, ImageState, Rights
from crowd.images.service import Delivery, take_upload
from crowd.policy import Stage
from crowd.runtime import Runtime, build_runtime
from crowd.simulation.samples import sample_photographs
from crowd.simulation.synthetic import Order, write_set
from crowd.tasks import taxonomies
from crowd.tasks.models import Label, Task
from crowd.taxonomy import load_taxonomy

TAXONOMY = load_taxonomy()


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """SQLite alone: what is tried here is what files say."""
    shutil.copyfile(sqlite_template, tmp_path / "crowd.sqlite")
    return f"sqlite:///{tmp_path / 'crowd.sqlite'}"


@pytest.fixture
def command(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("DATABASE_URL", rt.settings.database_url)
    monkeypatch.setenv("CROWD_STORAGE", str(rt.settings.storage))
    monkeypatch.setenv("CROWD_DATA_DIR", str(rt.settings.data_dir))

    def run(path: Path, format_name: str, *more: str) -> Result:
        words = ["labels", "import", str(path), "--format", format_name, "--supplier", "A house", *more]
        return CliRunner().invoke(main, words)

    return run


def said(result: Result) -> list[str]:
    """What it said beside its progress."""
    return [line for line in result.stderr.splitlines() if line.strip() and not line.startswith("Taking")]


def export(rt: Runtime, name: str, layout: str | None, folder: Path) -> Path:
    release = service.create_release(
        rt.db,
        f"{name}-{folder.name}",
        taxonomy_id=taxonomies.ensure(rt.db, rt.taxonomy),
        by=None,
        now=clock.now(),
    )
    with rt.db.read() as conn:
        plan = service.plan(conn, rt, release.id, name, layout)
    write_export(rt.db, rt.storage, plan, Place(folder, link=False), lambda _: None)
    return folder


def pairs(folder: Path) -> dict[str, tuple[Any, bytes]]:
    """Labels and image bytes by the image's own name, without the numbers and times each system gives."""
    found = {}
    for path in folder.rglob("*.json"):
        if path.stem.isdigit():
            form = json.loads(path.read_bytes())
            name = form["이미지 정보"]["이미지 파일명"]
            beside = path.parent / name
            image = beside if beside.is_file() else path.with_suffix(".jpg")
            size = form["이미지 정보"]["이미지 너비"], form["이미지 정보"]["이미지 높이"]
            found[name] = ([size, form["데이터셋 정보"]["데이터셋 상세설명"]], image.read_bytes())
    return found


def test_images_for_review_open_the_first_review_and_those_for_gold_stay_out_of_the_way(
    rt: Runtime, command: Callable[..., Result], tmp_path: Path
) -> None:
    write_set(tmp_path / "source", Order(2, 9, 160), 1, lambda done: None)
    command(tmp_path / "source/Training", "kfashion", "--rights", "owned", "--as", "review")
    with rt.db.read() as conn:
        stages = set(conn.execute(sa.select(Task.stage)).scalars())
        states = set(conn.execute(sa.select(Image.state)).scalars())
    assert (stages, states) == ({Stage.FIRST_REVIEW}, {ImageState.IN_WORK})
    write_set(tmp_path / "gold", Order(2, 10, 160), 1, lambda done: None)
    command(tmp_path / "gold/Training", "kfashion", "--rights", "owned", "--as", "held", "--batch", "gold")
    with rt.db.read() as conn:
        assert ImageState.HELD in set(conn.execute(sa.select(Image.state)).scalars())
        assert set(conn.execute(sa.select(Task.stage)).scalars()) == {Stage.FIRST_REVIEW}


@pytest.mark.parametrize("layout", list(Layout))
def test_a_kfashion_folder_that_came_in_goes_out_equal(
    rt: Runtime, command: Callable[..., Result], tmp_path: Path, layout: Layout
) -> None:
    source = tmp_path / "source"
    write_set(source, Order(4, 7, 160, layout), 1, lambda done: None)
    result = command(source, "kfashion", "--rights", "owned")
    assert (result.exit_code, said(result)) == (0, [])
    assert result.stdout.startswith("4 taken, 0 known")
    out = export(rt, "kfashion", layout.value, tmp_path / "out")
    assert pairs(out) == pairs(source)
    again = command(source, "kfashion", "--rights", "owned")
    assert "0 taken, 4 known" in again.stdout
    with rt.db.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(Label)).scalar_one() == 12


def test_coco_that_came_in_goes_out_equal(
    rt: Runtime,
    command: Callable[..., Result],
    tmp_path: Path,
    sqlite_template: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_set(tmp_path / "source", Order(4, 8, 160), 1, lambda done: None)
    command(tmp_path / "source", "kfashion", "--rights", "owned")
    first = export(rt, "coco", None, tmp_path / "first")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copyfile(sqlite_template, elsewhere / "crowd.sqlite")
    settings = Settings(
        elsewhere,
        f"sqlite:///{elsewhere / 'crowd.sqlite'}",
        None,
        str(elsewhere / "storage"),
        "only for tests",
    )
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("CROWD_STORAGE", settings.storage)
    result = command(first, "coco", "--rights", "owned")
    assert (result.exit_code, said(result)) == (0, [])
    other = build_runtime(settings)
    second = export(other, "coco", None, tmp_path / "second")
    other.db.close()

    def told(folder: Path) -> dict[str, Any]:
        keys = ("width", "height", "styles", "regions")
        return {
            each.labels["file_name"]: ({key: each.labels[key] for key in keys}, each.image())
            for each in coco.read(folder)
        }

    assert told(second) == told(first)


FORM: dict[str, Any] = {
    "이미지 정보": {"이미지 식별자": 7, "이미지 높이": 90, "이미지 파일명": "a.jpg", "이미지 너비": 60},
    "데이터셋 정보": {
        "파일 생성일자": "2020-09-18 17:07:48",
        "데이터셋 상세설명": {
            "렉트좌표": {},
            "폴리곤좌표": {
                "아우터": [{}],
                "하의": [
                    {"X좌표1": 1, "Y좌표1": 1, "X좌표3": 9, "Y좌표3": 9, "X좌표2": 9, "Y좌표2": 1},
                    {"X좌표1": 20, "Y좌표1": 1, "X좌표2": 29, "Y좌표2": 1, "X좌표3": 29, "Y좌표3": 9},
                ],
                "원피스": [{}],
                "상의": [{}],
            },
            "라벨링": {
                "스타일": [{"스타일": "키덜트", "서브스타일": "리조트"}],
                "하의": [
                    {
                        "카테고리": "레깅스",
                        "핏": "노말",
                        "디테일": ["퀼팅", "니트꽈베기"],
                        "색상": "무지개",
                        "옷깃": "x",
                    }
                ],
                "상의": [{"색상": "블랙"}],
            },
        },
    },
}


def jpeg(width: int = 60, height: int = 90, **extra: Any) -> bytes:
    out = io.BytesIO()
    Picture.new("RGB", (width, height), "teal").save(out, "JPEG", **extra)
    return out.getvalue()


def read_one(folder: Path, form: dict[str, Any]) -> Labelled:
    (folder / "7.json").write_text("\ufeff" + json.dumps(form), encoding="utf-8")
    (folder / "7.jpg").write_bytes(jpeg())
    (item,) = read_kfashion(folder, TAXONOMY)
    assert isinstance(item, Labelled)
    return item


def test_aliases_and_misspellings_of_released_files_are_understood(tmp_path: Path) -> None:
    item = read_one(tmp_path, FORM)
    (region,) = item.regions
    assert region["rings"][0] == [[1, 1], [9, 1], [9, 9]]
    assert len(region["rings"]) == 2
    given = item.attributes[region["id"]]
    assert (given["category"], given["fit"], given["detail"]) == ("leggings", "normal", ["quilting", "cable"])
    assert item.styles == ["kitsch/kidult", "resort"]
    assert item.told == [
        "bottom: unknown key 옷깃",
        "bottom: 색상 무지개 is no known value",
        "labels of top without an outline were left out",
    ]


def outlined(*flat: int) -> dict[str, Any]:
    return {"id": 1, "image_id": 1, "category_id": 3, "segmentation": [list(flat)]}


def mask(width: int, height: int, box: tuple[int, int, int, int]) -> dict[str, Any]:
    """A mask of one rectangle, packed by COCO's own code."""
    pixels = np.zeros((height, width), np.uint8, order="F")
    left, top, right, bottom = box
    pixels[top:bottom, left:right] = 1
    packed = coco_masks.encode(pixels)
    return {"size": packed["size"], "counts": packed["counts"].decode()}


def foreign_coco(folder: Path, **changes: Any) -> Path:
    form = {
        "images": [{"id": 1, "file_name": "b.jpg", "width": 60, "height": 90}],
        "categories": [{"id": 3, "name": "Top"}, {"id": 4, "name": "sofa"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 3, "segmentation": [[1, 1, 50, 1, 50, 60]]},
            {"id": 2, "image_id": 1, "category_id": 4, "segmentation": [[1, 1, 50, 1, 50, 60]]},
            {"id": 3, "image_id": 1, "category_id": 3, "segmentation": {"counts": [1], "size": [90, 60]}},
            {"id": 5, "image_id": 1, "category_id": 3, "segmentation": mask(60, 90, (10, 20, 40, 70))},
        ],
        **changes,
    }
    (folder / "b.jpg").write_bytes(jpeg())
    (folder / "a.json").write_text(json.dumps(form))
    return folder / "a.json"


def test_coco_of_others_is_read_by_the_names_of_its_categories(
    rt: Runtime, command: Callable[..., Result], tmp_path: Path
) -> None:
    result = command(foreign_coco(tmp_path), "coco", "--rights", "licensed")
    assert result.exit_code == 0, result.stderr
    assert "has no style yet" in result.stderr
    assert "annotation 2 of no known part was left out" in result.stderr
    assert "annotation 3 is a mask that cannot be read" in result.stderr
    assert "annotation 5 is a mask: its outline was taken" in result.stderr
    with rt.db.read() as conn:
        (task,) = conn.execute(sa.select(Task.stage, Task.seat)).all()
        labels = {row.stage: row.value for row in conn.execute(sa.select(Label.stage, Label.value))}
    assert task.stage is Stage.STYLES
    assert set(labels) == {Stage.SEGMENTATION, Stage.ATTRIBUTES}
    drawn, masked = labels[Stage.SEGMENTATION]["regions"]
    assert (drawn["part"], masked["part"]) == ("top", "top")
    assert sorted(masked["rings"][0]) == [[10, 20], [10, 70], [40, 20], [40, 70]]


@pytest.mark.skipif(not faces.can_search(), reason="OpenCV is not installed")
def test_a_face_in_an_image_that_brings_its_labels_is_covered_like_any_other(
    rt: Runtime, command: Callable[..., Result], tmp_path: Path
) -> None:
    portrait = Picture.open(io.BytesIO(dict(sample_photographs())["astronaut.png"])).convert("RGB")
    said = [{"id": 1, "file_name": "b.jpg", "width": portrait.width, "height": portrait.height}]
    form = foreign_coco(tmp_path, images=said, annotations=[outlined(10, 260, 500, 260, 500, 500)])
    portrait.save(tmp_path / "b.jpg", "JPEG", quality=95)
    assert is_clean_jpeg((tmp_path / "b.jpg").read_bytes()), "else it is never kept as it came"
    assert faces.find_faces(portrait), "else this test shows nothing"
    result = command(form, "coco", "--rights", "licensed")
    assert result.exit_code == 0, result.stderr
    with rt.db.read() as conn:
        (image,) = conn.execute(sa.select(Image.sha256, Image.faces)).all()
    assert image.faces == 1
    assert faces.find_faces(Picture.open(rt.storage.path(files_of(image.sha256).working))) == []


def findings(rt: Runtime) -> set[tuple[str, str]]:
    with rt.db.read() as conn:
        rows = conn.execute(sa.select(Finding.code, Image.state).join(Image, Image.id == Finding.image_id))
        return {(row.code, row.state.value) for row in rows}


def test_an_image_that_brings_its_labels_is_held_against_the_criteria_of_intake(
    rt: Runtime, command: Callable[..., Result], tmp_path: Path
) -> None:
    source = tmp_path / "source"
    write_set(source, Order(1, 7, 160), 1, lambda done: None)
    assert "1 taken" in command(source, "kfashion", "--rights", "owned").stdout
    assert ("size", "accepted") in findings(rt), "160 pixels are less than is recommended"
    (picture,) = source.rglob("*.jpg")
    with Picture.open(picture) as opened:
        opened.load()
        opened.save(picture, quality=60)
    result = command(source, "kfashion", "--rights", "owned")
    assert "1 held" in result.stdout
    assert "nearly the same picture as image 1" in said(result)[0]
    assert ("near_duplicate", "held") in findings(rt)
    with rt.db.read() as conn:
        kept = conn.execute(sa.select(sa.func.count()).select_from(Label)).scalar_one()
    assert kept == 6, "its labels are kept with it"
    picture.write_bytes(picture.read_bytes() + b"the same pixels")
    assert "1 duplicate" in command(source, "kfashion", "--rights", "owned").stdout
    assert ("duplicate", "refused") in findings(rt)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"images": [{"id": 1, "file_name": "../b.jpg", "width": 60, "height": 90}]}, "leads elsewhere"),
        ({"images": [{"id": 1, "file_name": "c.jpg", "width": 60, "height": 90}]}, "is not there"),
        ({"images": [{"id": 1, "file_name": "b.jpg", "width": "x", "height": 90}]}, "ValueError"),
        ({"images": [7]}, "TypeError"),
        ({"annotations": [{"id": 1, "image_id": 1, "category_id": 3, "segmentation": [[1, 1, 2]]}]}, "zip"),
        (
            {
                "annotations": [
                    {"id": 1, "image_id": 1, "category_id": 3, "segmentation": [[1, 1, 900, 1, 9, 9]]}
                ]
            },
            "outside the image",
        ),
    ],
)
def test_what_cannot_be_true_is_refused_in_a_sentence_and_nothing_is_kept(
    rt: Runtime, command: Callable[..., Result], tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    result = command(foreign_coco(tmp_path, **changes), "coco", "--rights", "owned")
    assert result.exit_code == 2
    assert why in result.stderr
    assert "Traceback" not in result.stderr
    with rt.db.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(Image)).scalar_one() == 0


def test_images_of_unknown_rights_are_held_and_larger_ones_scaled_with_their_labels(
    rt: Runtime, command: Callable[..., Result], tmp_path: Path
) -> None:
    path = foreign_coco(
        tmp_path,
        images=[{"id": 1, "file_name": "b.jpg", "width": 1600, "height": 2400}],
        annotations=[
            {"id": 1, "image_id": 1, "category_id": 3, "segmentation": [[100, 100, 1000, 100, 1000, 600]]}
        ],
    )
    (tmp_path / "b.jpg").write_bytes(jpeg(1600, 2400))
    result = command(path, "coco")
    assert "1 held" in result.stdout
    with rt.db.read() as conn:
        image = conn.execute(sa.select(Image.state, Image.width)).one()
        label = conn.execute(sa.select(Label.value).where(Label.stage == Stage.SEGMENTATION)).scalar_one()
    assert (image.state, image.width) == (ImageState.HELD, 800)
    assert label["regions"][0]["rings"] == [[[50, 50], [500, 50], [500, 300]]]


def test_only_a_jpeg_without_anything_else_is_kept_to_the_byte() -> None:
    exif = Picture.Exif()
    exif[0x010E] = "somebody"
    assert is_clean_jpeg(jpeg())
    for other in (
        jpeg(exif=exif.tobytes()),
        jpeg(comment=b"x"),
        jpeg() + b"<script>",
        jpeg()[:-2],
        b"",
        b"\xff\xd8",
    ):
        assert not is_clean_jpeg(other)


def test_files_that_are_no_coco_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[1]")
    (tmp_path / "y.json").write_text("{")
    (found,) = read_coco(tmp_path, TAXONOMY)
    assert "y.json" in str(found)


def with_segments(data: bytes, *segments: tuple[int, bytes], at: int = 2) -> bytes:
    """The JPEG with further segments put in, behind its beginning unless told where."""
    packed = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return data[:at] + packed + data[at:]


EXIF = (0xE1, b"Exif\0\0" + b"II*\0\x08\0\0\0\0\0\0\0\0\0")


def test_no_metadata_hides_behind_a_scan_or_in_the_header_of_a_jpeg() -> None:
    plain, scans = jpeg(), jpeg(progressive=True)
    for clean in (plain, scans, jpeg(optimize=True), jpeg(restart_marker_blocks=1)):
        assert is_clean_jpeg(clean)
    for hidden in (
        with_segments(plain, EXIF, at=len(plain) - 2),
        with_segments(scans, EXIF, at=scans.rindex(b"\xff\xc4")),
        with_segments(plain, (0xE0, b"JFXX\0\x10" + jpeg())),
        with_segments(plain, (0xE0, b"JFIF\0\1\1\0\0\1\0\1\1\1abc")),
        with_segments(plain, (0xFE, b"somebody"), at=len(plain) - 2),
        plain + plain,
    ):
        with Picture.open(io.BytesIO(hidden)) as opened:
            opened.load()
        assert not is_clean_jpeg(hidden)


def test_an_image_that_is_here_already_stays_as_it_is_to_the_byte(
    rt: Runtime, command: Callable[..., Result], tmp_path: Path
) -> None:
    path = foreign_coco(tmp_path, annotations=[outlined(1, 1, 50, 1, 50, 60)])
    first = take_upload(
        rt, (tmp_path / "b.jpg").read_bytes(), Delivery("A shop", "x.jpg", Rights.OWNED), None
    )
    files = files_of(hashlib.sha256((tmp_path / "b.jpg").read_bytes()).digest())
    # As if the policy of that day had made something else of it, or a person.
    rt.storage.put(files.working, jpeg(60, 90, quality=20))
    kept = {key: rt.storage.path(key).read_bytes() for key in (files.working, files.thumbnail)}
    assert kept[files.working] != (tmp_path / "b.jpg").read_bytes(), "else this test shows nothing"
    result = command(path, "coco", "--rights", "owned")
    assert "0 taken, 0 known, 1 duplicate" in result.stdout
    assert {key: rt.storage.path(key).read_bytes() for key in kept} == kept
    assert "1 known" in command(path, "coco", "--rights", "owned").stdout
    with rt.db.read() as conn:
        states = {row.id: row.state for row in conn.execute(sa.select(Image.id, Image.state))}
    assert states.pop(first.image_id) is ImageState.IN_WORK
    assert list(states.values()) == [ImageState.REFUSED]


def test_nothing_of_an_image_is_kept_whose_labels_cannot_be_true(
    rt: Runtime, command: Callable[..., Result], tmp_path: Path
) -> None:
    path = foreign_coco(tmp_path, annotations=[outlined(1, 1, 900, 1, 9, 9)])
    assert command(path, "coco", "--rights", "owned").exit_code == 2
    assert [each for each in Path(rt.settings.storage).rglob("*") if each.is_file()] == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "RecursionError"),
        (json.dumps({**FORM, "이미지 정보": {**FORM["이미지 정보"], "이미지 너비": 0}}), "0 pixels"),
        (json.dumps(FORM).replace(": 60}", ": 1e999}"), "OverflowError"),
        (json.dumps(FORM).replace(": 29,", f": {'9' * 400},"), "OverflowError"),
    ],
)
def test_a_bad_file_of_labels_does_not_end_the_import(
    rt: Runtime, command: Callable[..., Result], tmp_path: Path, text: str, why: str
) -> None:
    for number in (1, 3):
        (tmp_path / f"{number}.json").write_text(json.dumps(FORM), encoding="utf-8")
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(quality=50 + number))
    (tmp_path / "2.json").write_text(text, encoding="utf-8")
    (tmp_path / "2.jpg").write_bytes(jpeg())
    result = command(tmp_path, "kfashion", "--rights", "owned")
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
    assert "1 refused" in result.stdout
    assert any(line.startswith("refused: 2.json: ") and why in line for line in result.stderr.splitlines())
    with rt.db.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(Image)).scalar_one() == 2


@pytest.mark.parametrize("far", ["9" * 400, '"9"', "1e999", "null"])
def test_an_outline_of_no_numbers_is_refused_in_coco_too(
    rt: Runtime, command: Callable[..., Result], tmp_path: Path, far: str
) -> None:
    path = foreign_coco(
        tmp_path,
        images=[{"id": 1, "file_name": "b.jpg", "width": 30, "height": 45}],
        annotations=[outlined(1, 1, 50, 1, 77, 9)],
    )
    path.write_text(path.read_text().replace("77", far))
    result = command(path, "coco", "--rights", "owned")
    assert isinstance(result.exception, SystemExit)
    assert "1 refused" in result.stdout
