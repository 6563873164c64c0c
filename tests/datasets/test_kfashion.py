"""The K-Fashion files to the letter, and the independent reader that checks them."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from crowd.datasets.check import check_export, read_polygon
from crowd.datasets.formats.kfashion import (
    Layout,
    document,
    encode,
    paths,
    safe_file_name,
    written_values,
)
from crowd.datasets.records import ReleasedImage, Split
from crowd.simulation.drawing import draw
from crowd.taxonomy import load_taxonomy

TAXONOMY = load_taxonomy()


def jpeg(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "grey").save(out, "JPEG")
    return out.getvalue()


RECORD = ReleasedImage(
    id=16566,
    file_name="u_14859239888517400_1493917978.jpg",
    width=800,
    height=1066,
    created_at=datetime(2020, 9, 18, 17, 7, 48, tzinfo=UTC),
    split=Split.TRAIN,
    regions=[
        {"id": "r1", "part": "top", "rings": [[[181, 16], [506, 16.5], [505.5, 386]]]},
        {
            "id": "r2",
            "part": "bottom",
            "rings": [[[211, 330], [533, 330], [533, 705]], [[10, 20], [30, 20], [30, 41.5], [10, 40]]],
        },
    ],
    attributes={
        "r1": {
            "fit": "loose",
            "category": "shirts",
            "color": "blue",
            "sub_color": "white",
            "detail": ["ribbon"],
            "print": ["dot", "check"],
            "material": ["silk"],
            "length": "long",
            "sleeve": "long-sleeve",
            "neckline": "v-neck",
            "collar": "standup-collar",
        },
        "r2": {
            "category": "pants",
            "color": "black",
            "sub_color": None,
            "detail": [],
            "material": ["wool/cashmere"],
            "print": ["argyle"],
            "length": "ankle",
            "fit": "loose",
        },
    },
    styles=["resort", "country", "street"],
    working=lambda: jpeg(800, 1066),
)

EXPECTED = (
    '{"이미지 정보":{"이미지 식별자":16566,"이미지 높이":1066,"이미지 파일명":'
    '"u_14859239888517400_1493917978.jpg","이미지 너비":800},"데이터셋 정보":{'
    '"파일 생성일자":"2020-09-18 17:07:48","데이터셋 상세설명":{'
    '"렉트좌표":{"아우터":[{}],"하의":[{"X좌표":210.5,"Y좌표":329.5,"가로":322,"세로":375},'
    '{"X좌표":9.5,"Y좌표":19.5,"가로":20,"세로":21}],"원피스":[{}],'
    '"상의":[{"X좌표":180.5,"Y좌표":15.5,"가로":325,"세로":370}]},'
    '"폴리곤좌표":{"아우터":[{}],"하의":[{"X좌표1":211.0,"Y좌표1":330.0,"X좌표2":533.0,"Y좌표2":330.0,'
    '"X좌표3":533.0,"Y좌표3":705.0},{"X좌표1":10.0,"Y좌표1":20.0,"X좌표2":30.0,"Y좌표2":20.0,'
    '"X좌표3":30.0,"Y좌표3":41.5,"X좌표4":10.0,"Y좌표4":40.0}],"원피스":[{}],'
    '"상의":[{"X좌표1":181.0,"Y좌표1":16.0,"X좌표2":506.0,"Y좌표2":16.5,"X좌표3":505.5,"Y좌표3":386.0}]},'
    '"라벨링":{"스타일":[{"스타일":"리조트","서브스타일":"컨트리"}],"아우터":[{}],'
    '"하의":[{"기장":"발목","색상":"블랙","카테고리":"팬츠","소재":["울/캐시미어"],"프린트":["아가일"],"핏":"루즈"}],'
    '"원피스":[{}],"상의":[{"기장":"롱","색상":"블루","서브색상":"화이트","카테고리":"셔츠","옷깃":"차이나칼라",'
    '"디테일":["리본"],"소매기장":"긴팔","소재":["실크"],"프린트":["도트","체크"],"넥라인":"브이넥","핏":"루즈"}]}},'
    '"파일 번호":16566,"파일 이름":"u_14859239888517400_1493917978.jpg"}}'
)


def test_a_record_becomes_the_released_text_to_the_letter() -> None:
    assert encode(document(RECORD, TAXONOMY)).decode("utf-8") == EXPECTED


def test_the_time_of_creation_is_written_in_utc() -> None:
    seoul = replace(RECORD, created_at=datetime(2020, 1, 1, 3, tzinfo=timezone(timedelta(hours=9))))
    assert document(seoul, TAXONOMY)["데이터셋 정보"]["파일 생성일자"] == "2019-12-31 18:00:00"


def test_an_image_without_a_style_has_an_empty_object_and_its_own_folder() -> None:
    plain = replace(RECORD, styles=[])
    labels = document(plain, TAXONOMY)["데이터셋 정보"]["데이터셋 상세설명"]["라벨링"]
    assert labels["스타일"] == [{}]
    assert str(paths(plain, Layout.GUIDELINE, TAXONOMY)[1]) == "기타/16566/16566.json"


def test_two_regions_of_a_part_are_two_labels_in_order() -> None:
    regions = [{**RECORD.regions[0], "id": "a"}, {**RECORD.regions[0], "id": "b"}]
    attributes = {"a": {"color": "red"}, "b": {"color": "blue"}}
    two = replace(RECORD, regions=regions, attributes=attributes)
    labels = document(two, TAXONOMY)["데이터셋 정보"]["데이터셋 상세설명"]["라벨링"]
    assert labels["상의"] == [{"색상": "레드"}, {"색상": "블루"}]


def test_a_bottom_never_carries_collar_neckline_or_sleeve() -> None:
    labels = {"r2": {"color": "red", "collar": "shirt-collar", "neckline": "v-neck", "sleeve": "long-sleeve"}}
    record = replace(RECORD, regions=RECORD.regions[1:], attributes=labels)
    written = document(record, TAXONOMY)["데이터셋 정보"]["데이터셋 상세설명"]["라벨링"]
    assert written["하의"] == [{"색상": "레드"}]


def test_values_are_written_in_released_words_or_left_out_and_accounted_for() -> None:
    labels = {"r1": {"detail": ["zip-up", "quilting"], "shape": "a-line", "category": "casual-tops"}}
    record = replace(RECORD, regions=RECORD.regions[:1], attributes=labels)
    written = document(record, TAXONOMY)["데이터셋 정보"]["데이터셋 상세설명"]["라벨링"]["상의"][0]
    account = {(entry.attribute, entry.key): entry for entry in written_values(record, TAXONOMY)}
    assert "퀄팅" in written["디테일"]
    assert account["detail", "quilting"].ko == "퀄팅"
    assert account["shape", "a-line"].ko is None
    assert account["style", "street"].ko is None
    assert "two" in account["style", "street"].how
    said = [entry.ko for entry in account.values() if entry.attribute == "detail" and entry.ko]
    assert written["디테일"] == said


@pytest.mark.parametrize(
    ("layout", "split", "expected"),
    [
        (Layout.GUIDELINE, Split.TRAIN, ("키치_키덜트/16566/u.jpg", "키치_키덜트/16566/16566.json")),
        (Layout.RELEASE, Split.TRAIN, ("Training/키치_키덜트/16566.jpg", "Training/키치_키덜트/16566.json")),
        (
            Layout.RELEASE,
            Split.VALIDATION,
            ("Validation/키치_키덜트/16566.jpg", "Validation/키치_키덜트/16566.json"),
        ),
        (Layout.RELEASE, Split.TEST, ("Test/키치_키덜트/16566.jpg", "Test/키치_키덜트/16566.json")),
    ],
)
def test_both_layouts_have_safe_style_folders(
    layout: Layout, split: Split, expected: tuple[str, str]
) -> None:
    record = replace(RECORD, file_name="u.jpg", split=split, styles=["kitsch/kidult"])
    assert tuple(map(str, paths(record, layout, TAXONOMY))) == expected


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a.png", "a.jpg"),
        ("../../etc/passwd", "passwd.jpg"),
        ("shop\\new\\1.JPEG", "1.jpg"),
        ("a\x00b\n.jpg", "a b.jpg"),
        ("CON.jpg", "_CON.jpg"),
        ("com1", "_com1.jpg"),
        ("..", "image.jpg"),
        ("", "image.jpg"),
        ("x<>:|?*.tif", "x______.jpg"),
        ("gpj.\u202eexe.png", "gpj. exe.jpg"),
        ("옷.webp", "옷.jpg"),
        ("look 3.final version", "look 3.final version.jpg"),
    ],
)
def test_file_names_are_made_safe(name: str, safe: str) -> None:
    assert safe_file_name(name) == safe


def test_long_names_are_cut_between_characters() -> None:
    name = safe_file_name("가" * 300 + ".png")
    assert len(name.encode()) <= 130
    assert name.endswith("가.jpg")


def export(folder: Path, layout: Layout, count: int = 4) -> list[Path]:
    written = []
    for number in range(1, count + 1):
        drawn = draw(number)
        out = io.BytesIO()
        drawn.image.save(out, "JPEG")
        record = ReleasedImage(
            id=number,
            file_name=f"look {number}.png",
            width=drawn.image.width,
            height=drawn.image.height,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            split=list(Split)[number % 3],
            regions=drawn.truth["segmentation"]["regions"],
            attributes=drawn.truth["attributes"]["regions"],
            styles=drawn.truth["styles"]["styles"],
            working=out.getvalue,
        )
        image, form = (folder / path for path in paths(record, layout, TAXONOMY))
        form.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(record.image_bytes())
        form.write_bytes(encode(document(record, TAXONOMY)))
        written.append(form)
    return written


@pytest.mark.parametrize("layout", list(Layout))
def test_the_reader_finds_an_export_of_drawn_images_sound(tmp_path: Path, layout: Layout) -> None:
    export(tmp_path, layout)
    report = check_export(tmp_path)
    assert (report.images, report.problems) == (4, [])


def change(path: Path, *keys: str | int, to: Any) -> None:
    form = json.loads(path.read_bytes())
    place = form
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    path.write_bytes(encode(form))


DETAIL = ("데이터셋 정보", "데이터셋 상세설명")


@pytest.mark.parametrize(
    ("keys", "to", "problem"),
    [
        (("이미지 정보", "이미지 너비"), 801, "the image is"),
        (("데이터셋 정보", "파일 번호"), 9, "numbers differ"),
        (("데이터셋 정보", "파일 이름"), "b.jpg", "twice and differently"),
        (("데이터셋 정보", "파일 생성일자"), "2026-01-01T00:00:00Z", "was created"),
        (
            (*DETAIL, "렉트좌표", "상의"),
            [{"X좌표": 1.0, "Y좌표": 1.0, "가로": 1, "세로": 1}],
            "follow its polygon",
        ),
        ((*DETAIL, "라벨링", "상의"), [{"색상": "빨강"}], "색상 빨강 is no released value"),
        ((*DETAIL, "라벨링", "상의"), [{"색상": "레드", "기장": "롱"}], "out of order"),
        ((*DETAIL, "라벨링", "하의"), [{"넥라인": "브이넥"}], "넥라인 has no place"),
        ((*DETAIL, "라벨링", "스타일"), [{"스타일": "캐주얼"}], "unknown style"),
    ],
)
def test_the_reader_finds_what_was_spoilt(
    tmp_path: Path, keys: tuple[str, ...], to: Any, problem: str
) -> None:
    record = replace(RECORD, file_name="a.jpg", regions=RECORD.regions)
    image, form = (tmp_path / path for path in paths(record, Layout.GUIDELINE, TAXONOMY))
    form.parent.mkdir(parents=True)
    image.write_bytes(record.image_bytes())
    form.write_bytes(encode(document(record, TAXONOMY)))
    assert check_export(tmp_path).problems == []
    change(form, *keys, to=to)
    assert any(problem in text for text in check_export(tmp_path).problems)


def test_the_reader_finds_missing_and_stray_images(tmp_path: Path) -> None:
    forms = export(tmp_path, Layout.RELEASE, 2)
    forms[0].with_suffix(".jpg").rename(tmp_path / "stray.jpg")
    problems = check_export(tmp_path).problems
    assert any("cannot be read" in text for text in problems)
    assert any("no JSON tells of" in text for text in problems)


def test_an_empty_export_is_a_problem(tmp_path: Path) -> None:
    assert check_export(tmp_path).problems == ["there is no JSON file"]


def test_polygon_keys_are_sorted_as_numbers() -> None:
    entry = {f"{axis}좌표{n}": float(n) for n in (10, 2, 1, 9, 3, 4, 5, 6, 7, 8) for axis in "XY"}
    assert read_polygon(entry) == [(float(n), float(n)) for n in range(1, 11)]
    with pytest.raises(ValueError, match="numbered"):
        read_polygon({"X좌표1": 1.0, "Y좌표2": 1.0})
