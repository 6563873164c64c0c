"""Every format read back: the labels as stored, to the value and the pixel, less what its README says."""

import csv
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from crowd.datasets import exports, service, verification
from crowd.datasets.check import CheckReport
from crowd.datasets.exports import Place, Plan, write_export
from crowd.datasets.formats import FORMATS, classifier, coco, parquet, table, webdataset
from crowd.datasets.inspect import Found
from crowd.datasets.records import MANIFEST, PIECES, README, ReleasedImage, Split, plain
from crowd.images import faces
from crowd.policy import Stage
from crowd.runtime import Runtime
from crowd.simulation.samples import sample_photographs
from crowd.taxonomy import load_taxonomy
from tests.datasets.factories import THEN, Crowd

IMAGES = 11
FEW, MANY = 200, 800
# In bytes: whoever holds a digest for each image holds more than this.
LEAST_ENTRY = sys.getsizeof("0" * 64)
LAYOUTS = [
    ("kfashion", "guideline"),
    ("kfashion", "release"),
    ("coco", "instances"),
    ("parquet", "embedded"),
    ("parquet", "referenced"),
    ("webdataset", "shards"),
    ("table", "guideline"),
    ("classifier", "styles"),
    ("classifier", "detail"),
]
RINGS = [
    [[5, 5], [30.25, 5], [30, 40.5]],
    [[1, 50], [9, 50], [9.123456789, 59]],
]
LABELS = (
    (
        [{"id": "r1", "part": "outer", "rings": RINGS, "box": [0, 4, 31, 56]}],
        {"r1": {"category": "coats", "color": "navy", "sub_color": None, "detail": ["pockets", "buckle"]}},
        ["resort", "country", "street"],
    ),
    (
        [
            {"id": "a", "part": "bottom", "rings": RINGS[:1], "box": [5, 5, 25.25, 35.5]},
            {"id": "b", "part": "bottom", "rings": RINGS[1:], "box": [1, 50, 8.2, 9]},
        ],
        {
            "a": {"category": "skirts", "print": ["check"], "length": "mini", "detail": []},
            "b": {"category": "leggings", "color": "black", "material": ["wool/cashmere"]},
        },
        ["kitsch/kidult"],
    ),
)


@dataclass
class Released:
    """A release with its stored labels and the bytes of its images, and a folder to write to."""

    crowd: Crowd
    plan: Callable[[str, str], Plan]
    stored: dict[int, dict[str, Any]]
    images: dict[int, bytes]

    def write(self, name: str, layout: str, folder: Path) -> Path:
        rt = self.crowd.rt
        write_export(rt.db, rt.storage, self.plan(name, layout), Place(folder, link=False), lambda _: None)
        return folder


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """SQLite alone: files do not depend on where the rows came from, which test_exports tries on both."""
    shutil.copyfile(sqlite_template, tmp_path / "crowd.sqlite")
    return f"sqlite:///{tmp_path / 'crowd.sqlite'}"


@pytest.fixture
def released(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> Released:
    monkeypatch.setattr(exports, "PAGE", 4)
    monkeypatch.setattr(parquet, "GROUP", 3)
    crowd = Crowd(rt)
    ids = crowd.accept(IMAGES)
    with rt.db.begin() as conn:
        for image, (regions, attributes, styles) in zip(ids, LABELS, strict=False):
            crowd.label(conn, image, Stage.SEGMENTATION, {"regions": regions})
            crowd.label(conn, image, Stage.ATTRIBUTES, {"regions": attributes})
            crowd.label(conn, image, Stage.STYLES, {"styles": styles, "unsure": False})
    release = service.create_release(rt.db, "first", taxonomy_id=crowd.taxonomy_id, by=None, now=THEN)

    def plan(name: str, layout: str) -> Plan:
        with rt.db.read() as conn:
            return service.plan(conn, rt, release.id, name, layout)

    records = [
        record
        for _, page in exports._pages(rt.db, rt.storage, plan("kfashion", "guideline"))
        for record in page
    ]
    return Released(
        crowd,
        plan,
        {record.id: plain(record) for record in records},
        {record.id: record.image_bytes() for record in records},
    )


def said(labels: dict[str, Any]) -> dict[str, Any]:
    """Labels without what nobody said: null and empty lists are the same as nothing."""
    regions = [
        {**region, "attributes": {key: value for key, value in region["attributes"].items() if value}}
        for region in labels["regions"]
    ]
    return {**labels, "regions": regions}


def read_all(found: Iterator[Found]) -> tuple[dict[int, dict[str, Any]], dict[int, bytes]]:
    every = list(found)
    assert len({each.labels["id"] for each in every}) == len(every)
    return (
        {each.labels["id"]: dict(each.labels) for each in every},
        {each.labels["id"]: each.image() for each in every},
    )


def test_coco_gives_every_label_back(released: Released, tmp_path: Path) -> None:
    labels, images = read_all(coco.read(released.write("coco", "instances", tmp_path / "out")))
    assert labels == released.stored
    assert images == released.images


def test_webdataset_gives_every_label_back(released: Released, tmp_path: Path) -> None:
    labels, images = read_all(webdataset.read(released.write("webdataset", "shards", tmp_path / "out")))
    assert labels == released.stored
    assert images == released.images


@pytest.mark.parametrize("layout", ["embedded", "referenced"])
def test_parquet_gives_every_label_back(released: Released, tmp_path: Path, layout: str) -> None:
    _installed("parquet")
    folder = released.write("parquet", layout, tmp_path / "out")
    labels, images = read_all(parquet.read(folder, released.crowd.rt.taxonomy))
    assert {number: said(each) for number, each in labels.items()} == {
        number: said(each) for number, each in released.stored.items()
    }
    assert images == released.images


def test_the_tables_give_every_label_back_but_for_names_boxes_and_fifth_decimals(
    released: Released, tmp_path: Path
) -> None:
    folder = released.write("table", "guideline", tmp_path / "out")
    labels, images = read_all(table.read(folder, released.crowd.rt.taxonomy))
    assert images == released.images
    for number, stored in released.stored.items():
        regions = [
            {
                "id": str(place),
                "part": region["part"],
                "box": None,
                "rings": [[[round(x, 4), round(y, 4)] for x, y in ring] for ring in region["rings"]],
                "attributes": region["attributes"],
            }
            for place, region in enumerate(said(stored)["regions"], 1)
        ]
        expected = {"id": number, "split": stored["split"], "styles": stored["styles"], "regions": regions}
        assert labels[number] == expected
    assert (
        "| coordinate | outer | fifth decimal |  | rounded | length 11 | 1 |" in (folder / README).read_text()
    )


def test_the_tables_are_those_of_the_guideline(released: Released, tmp_path: Path) -> None:
    folder = released.write("table", "guideline", tmp_path / "out")
    db = sqlite3.connect(":memory:")
    db.execute("PRAGMA foreign_keys = ON")
    script = (folder / "schema.sql").read_text()
    db.executescript(script)
    assert "img_path VARCHAR(100) NOT NULL" in script
    assert "category_name VARCHAR(64) NOT NULL" in script
    for name in (
        "image_table",
        "category",
        "category_item",
        "image_location_rect",
        "image_location_polygon",
        "label",
    ):
        with (folder / f"{name}.csv").open(newline="") as file:
            head, *rows = csv.reader(file)
        described = [row[1] for row in db.execute(f"PRAGMA table_info({name})")]
        assert head == described
        places = ", ".join("?" * len(head))
        db.executemany(
            f"INSERT INTO {name} VALUES ({places})", [[cell or None for cell in row] for row in rows]
        )
    named = db.execute(
        "SELECT category_item_name FROM label JOIN category_item USING (category_item_no)"
        " WHERE region_no IS NULL AND image_no = (SELECT min(image_no) FROM image_table) ORDER BY label.rowid"
    )
    assert [row[0] for row in named] == ["리조트", "컨트리", "스트리트"]
    rect = db.execute(
        "SELECT rect_no, location_X, location_Y, location_width, location_height FROM image_location_rect"
    )
    assert rect.fetchone() == (1, 4.5, 4.5, 25, 35)


def test_a_number_that_its_field_cannot_hold_is_refused_by_name(
    released: Released, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "_path", lambda record: Path("images", f"{record.id:0120}.jpg"))
    with pytest.raises(exports.ExportError, match="image_table: img_path has 131 characters of 100"):
        released.write("table", "guideline", tmp_path / "out")


def test_the_style_classifiers_lists_give_the_styles_back(released: Released, tmp_path: Path) -> None:
    folder = released.write("classifier", "styles", tmp_path / "out")
    labels, images = read_all(classifier.read(folder))
    assert images == released.images
    assert {number: each["styles"] for number, each in labels.items()} == {
        number: each["styles"] for number, each in released.stored.items()
    }


def test_the_correlation_is_the_share_of_one_style_that_has_the_other(tmp_path: Path) -> None:
    rows = [{"labels": [0, 1]}, {"labels": [0]}, {"labels": [0]}, {"labels": [0, 1]}, {"labels": [1]}]
    piece = tmp_path / "train.labels"
    piece.write_text(",\n".join(map(json.dumps, rows)))
    assert classifier.conditional([piece], 3) == [[1.0, 0.5, 0.0], [0.666667, 1.0, 0.0], [0.0, 0.0, 0.0]]


def test_embeddings_are_means_of_the_words_of_a_name(tmp_path: Path) -> None:
    file = tmp_path / "vectors.txt"
    file.write_text("3 2\nhip 1 0\nhop 0 1\nstreet -1 4\n")
    wanted = frozenset(word for name in ("hip-hop", "street", "punk") for word in classifier.words_of(name))
    words = classifier.read_vectors(file, wanted)
    assert classifier.embeddings(["hip-hop", "street", "punk"], words) == [[0.5, 0.5], [-1, 4], [0.0, 0.0]]
    file.write_text("hip 1 0\nhop 0\n")
    with pytest.raises(ValueError, match="line 2: 1 numbers, not 2"):
        classifier.read_vectors(file, wanted)


def test_a_crop_lies_in_the_folder_of_each_of_its_values(released: Released, tmp_path: Path) -> None:
    folder = released.write("classifier", "detail", tmp_path / "out")
    first = min(released.stored)
    found = {path.parent.name for path in folder.glob(f"detail/*/*/{first}_1.jpg")}
    assert found == {"pockets", "buckle"}
    crops = {each.labels["id"] for each in classifier.read_crops(folder)}
    assert first + 1 not in crops


@pytest.mark.skipif(not faces.can_search(), reason="OpenCV is not installed")
def test_a_face_too_small_to_be_found_in_the_image_is_covered_in_the_crop(tmp_path: Path) -> None:
    portrait = Image.open(io.BytesIO(dict(sample_photographs())["astronaut.png"])).convert("RGB")
    page = Image.new("RGB", (800, 1000), (200, 190, 180))
    page.paste(portrait.crop((150, 0, 320, 230)).resize((80, 108)), (300, 300))
    page.save(tmp_path / "page.jpg", quality=90)
    with Image.open(tmp_path / "page.jpg") as opened:
        assert faces.find_faces(opened) == [], "else intake would have covered it"
        assert faces.find_faces(opened.crop((290, 290, 400, 470))), "else this test shows nothing"
    record = ReleasedImage(
        id=1,
        file_name="page.jpg",
        width=800,
        height=1000,
        created_at=THEN,
        split=Split.TRAIN,
        regions=[{"id": "r1", "part": "dress", "rings": [[[290, 290], [400, 290], [400, 470]]]}],
        attributes={"r1": {"category": "dresses"}},
        styles=[],
        working=tmp_path / "page.jpg",
        updated_at=THEN,
    )
    (file,) = classifier.Classifier().files([record], 0, "category", load_taxonomy())
    assert callable(file.content)
    out = io.BytesIO()
    file.content(out, lambda each: each.image_bytes())
    with Image.open(out) as crop:
        assert crop.size == (110, 180)
        assert faces.find_faces(crop) == []


@pytest.mark.parametrize(("name", "layout"), LAYOUTS)
def test_the_outside_look_at_many_images_takes_no_more_memory_than_at_few(
    rt: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, layout: str
) -> None:
    _installed(name)
    # Of a shard's members, the list is in memory.
    monkeypatch.setattr(exports, "PAGE", FEW // 4)
    crowd, peaks = Crowd(rt), {}
    for count, first in ((FEW, 0), (MANY, FEW)):
        crowd.accept(count - first, first=first)
        release = service.create_release(rt.db, str(count), taxonomy_id=crowd.taxonomy_id, by=None, now=THEN)
        with rt.db.read() as conn:
            plan = service.plan(conn, rt, release.id, name, layout)
        folder = tmp_path / str(count)
        write_export(rt.db, rt.storage, plan, Place(folder, link=False), lambda _: None)
        # Of several, for what the interpreter keeps once for all falls into any of them.
        peaks[count] = min(peak_of_check(plan, folder) for _ in range(2))
    assert (peaks[MANY] - peaks[FEW]) / (MANY - FEW) < LEAST_ENTRY, "bytes an image"


def peak_of_check(plan: Plan, folder: Path) -> int:
    """Bytes of Python's own objects while all of an export is looked at."""
    tracemalloc.start()
    report = plan.format.check(folder, plan.taxonomy)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.images == plan.release.images
    return peak


def damage_image(folder: Path) -> str:
    path = next(folder.glob("images/train/*.jpg"))
    path.write_bytes(path.read_bytes().replace(b"\xff\xfe", b"\xff\xe1\x00\x0eExif\0\0abcd\xff\xfe", 1))
    return "carries exif"


def damage_split(folder: Path) -> str:
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace(",test,", ",train,"))
    return "lies in test, is listed in train"


def damage_label(folder: Path) -> str:
    path = folder / "annotations/instances_train.json"
    path.write_text(path.read_text().replace('"blue"', '"bleu"'))
    return "unknown value bleu of color"


def damage_outline(folder: Path) -> str:
    path = folder / "annotations/instances_train.json"
    path.write_text(path.read_text().replace("[[5,5,30,5", "[[5,5,3000,5"))
    return "region r1 leaves the image"


def damage_order(folder: Path) -> str:
    path = folder / "annotations/instances_train.json"
    head, name, lines = path.read_text().partition('"annotations":[\n')
    first, second, rest = lines.split(",\n", 2)
    path.write_text(head + name + ",\n".join((second, first, rest)))
    return "is not in the place of its image"


def damage_end(folder: Path) -> str:
    path = folder / "annotations/instances_train.json"
    path.write_text(path.read_text()[:-40])
    return "a list breaks off"


def damage_comma(folder: Path) -> str:
    path = folder / "annotations/instances_train.json"
    path.write_text(path.read_text().replace("\n],", ",\n],", 1))
    return "ends in a comma"


def damage_list(folder: Path) -> str:
    path = folder / "annotations/instances_test.json"
    path.write_text(path.read_text().replace('"images":[', '"images":[],"others":['))
    return "is listed and not there"


@pytest.mark.parametrize(
    "damage",
    [
        damage_image,
        damage_split,
        damage_label,
        damage_outline,
        damage_list,
        damage_order,
        damage_end,
        damage_comma,
    ],
    ids=lambda d: d.__name__,
)
def test_the_outside_look_names_what_does_not_hold(
    released: Released, tmp_path: Path, damage: Callable[[Path], str]
) -> None:
    folder = released.write("coco", "instances", tmp_path / "out")
    expected = damage(folder)
    report = FORMATS["coco"].check(folder, released.crowd.rt.taxonomy)
    assert any(expected in problem for problem in report.problems), report.problems
    told = verification.render("first", report, IMAGES)
    assert "not met" in told
    assert expected in told


@pytest.mark.parametrize(("name", "layout"), LAYOUTS)
def test_an_export_is_sound_and_the_same_bytes_even_when_broken_off(
    released: Released, tmp_path: Path, name: str, layout: str
) -> None:
    _installed(name)
    folder = released.write(name, layout, tmp_path / "fresh")
    report: CheckReport = FORMATS[name].check(folder, released.crowd.rt.taxonomy)
    assert (report.images, report.problems) == (IMAGES, [])
    assert not (folder / PIECES).exists()
    fresh = tree(folder)
    plan, rt = released.plan(name, layout), released.crowd.rt
    pages = 0

    def interrupted(_: int) -> None:
        nonlocal pages
        pages += 1
        if pages == 2:
            raise KeyboardInterrupt

    place = Place(tmp_path / "again", link=False)
    with pytest.raises(KeyboardInterrupt):
        write_export(rt.db, rt.storage, plan, place, interrupted)
    assert tree(released.write(name, layout, place.folder)) == fresh


KILLED = """
import os, signal, sys
from pathlib import Path
from crowd import models
from crowd.core.config import Settings
from crowd.datasets import exports, service, verification
from crowd.datasets.records import MANIFEST
from crowd.runtime import build_runtime

exports.PAGE = 4
url, data_dir, storage, name, layout, when, out = sys.argv[1:]
if name == "parquet":
    from crowd.datasets.formats import parquet

    # As small as in this process, or the bytes differ for that.
    parquet.GROUP = 3
rt = build_runtime(Settings(Path(data_dir), url, None, storage, "only for tests"))
with rt.db.read() as conn:
    plan = service.plan(conn, rt, service.find_release_named(conn, "first").id, name, layout)
written = []

def die(event, told):
    if event == "os.rename" and Path(told[1]).name == when == MANIFEST:
        os.kill(os.getpid(), signal.SIGKILL)
    if event != "open" or not told[2] & (os.O_WRONLY | os.O_RDWR):
        return
    if isinstance(told[0], int) or not os.fspath(told[0]).startswith(out):
        return
    path = Path(told[0])
    if path.name in (exports.MARKER, exports.JOURNAL):
        return
    written.append(path)
    if when in (str(len(written)), path.name):
        torn = os.open(path.with_suffix(".torn"), os.O_WRONLY | os.O_CREAT)
        os.write(torn, b"half of a f")
        os.rename(path.with_suffix(".torn"), path)
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
exports.write_export(rt.db, rt.storage, plan, exports.Place(Path(out), link=False), lambda _: None)
"""


@pytest.mark.parametrize(
    ("name", "layout", "when"),
    [
        ("kfashion", "guideline", "7"),
        ("kfashion", "release", "12"),
        ("coco", "instances", "9"),
        ("coco", "instances", "instances_validation.json"),
        ("parquet", "embedded", "2"),
        ("parquet", "referenced", "train-000001.parquet"),
        ("webdataset", "shards", "train-000001.tar"),
        ("webdataset", "shards", MANIFEST),
        ("table", "guideline", "8"),
        ("table", "guideline", "label.csv"),
        ("classifier", "styles", "correlation.json"),
        ("classifier", "detail", "5"),
    ],
)
def test_an_export_killed_anywhere_goes_on_to_the_same_bytes(
    released: Released, tmp_path: Path, name: str, layout: str, when: str
) -> None:
    _installed(name)
    settings = released.crowd.rt.settings
    torn = tmp_path / "torn"
    words = (settings.database_url, settings.data_dir, settings.storage, name, layout, when, torn)
    killed = subprocess.run([sys.executable, "-c", KILLED, *map(str, words)], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert not (torn / MANIFEST).exists()
    again = tree(released.write(name, layout, torn))
    assert again == tree(released.write(name, layout, tmp_path / "fresh"))


def test_pieces_left_by_a_kill_after_the_end_are_removed(released: Released, tmp_path: Path) -> None:
    folder = released.write("coco", "instances", tmp_path / "out")
    (folder / PIECES).mkdir()
    (folder / PIECES / "train-000000.images").write_bytes(b"")
    released.write("coco", "instances", folder)
    assert not (folder / PIECES).exists()


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(".part")
    }


def _installed(name: str) -> None:
    """Where a format's packages are not installed its tests are skipped, under CI=true an error."""
    for module in FORMATS[name].needs:
        if os.environ.get("CI") == "true":
            import_module(module)
        else:
            pytest.importorskip(module)
