"""Folders, zips and manifests as suppliers really send them, and as attackers do."""

import io
import json
import os
import stat
import unicodedata
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from crowd.images import sources
from crowd.images.models import Rights
from crowd.images.sources import SourceError, SourceLimits, open_source


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(out, "PNG")
    return out.getvalue()


PICTURE = picture()


def make_zip(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], deflated: bool = False) -> Path:
    kind = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def names(path: Path) -> list[str]:
    with open_source(path) as source:
        assert len(source) == len(list(source))
        return [item.name for item in source]


def test_one_image_is_a_source_of_one(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    (item,) = open_source(tmp_path / "a.png")
    assert (item.name, item.open()) == ("a.png", PICTURE)


def test_a_folder_is_read_in_order_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b.png", "sub/a.jpg", "a.png", ".hidden.png", ".git/x.png", "__MACOSX/a.png", "Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(PICTURE)
    assert names(tmp_path) == ["a.png", "b.png", "sub/a.jpg"]


def test_a_folder_tells_what_it_passed_over(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("text")
    (tmp_path / "more.zip").write_bytes(b"PK\x03\x04")
    (tmp_path / "unnamed").write_bytes(PICTURE)
    (tmp_path / "text.jpg").write_text("text")
    source = open_source(tmp_path)
    assert [item.name for item in source] == ["text.jpg", "unnamed"]
    assert {(f["code"], f["detail"]) for f in source.findings} == {
        ("not_an_image", "list.txt"),
        ("nested_archive", "more.zip: not a readable zip (File is not a zip file)"),
    }


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(PICTURE)
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    source = open_source(inside)
    assert len(source) == 0
    assert [each["code"] for each in source.findings] == ["link_outside"]


def test_names_are_composed_and_the_original_bytes_kept(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "원피스.png")
    (tmp_path / decomposed).write_bytes(PICTURE)
    (item,) = open_source(tmp_path)
    assert item.name == "원피스.png"
    assert item.name_bytes == decomposed.encode()
    assert item.open() == PICTURE


def test_a_file_over_the_cap_is_an_error_of_that_item(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    (item,) = open_source(tmp_path, SourceLimits(item_bytes=10))
    with pytest.raises(SourceError, match=r"a\.png: larger than the 10 bytes"):
        item.open()


def test_a_zip_gives_its_images_and_skips_litter_and_archives(tmp_path: Path) -> None:
    path = make_zip(
        tmp_path / "a.zip",
        ("b/2.png", PICTURE),
        ("b/1.png", PICTURE),
        ("__MACOSX/b/._1.png", b"x"),
        (".DS_Store", b"x"),
        ("inner.zip", b"PK"),
    )
    with open_source(path) as source:
        assert [(item.name, item.open()) for item in source] == [("b/1.png", PICTURE), ("b/2.png", PICTURE)]
        assert [(each["code"], each["name"]) for each in source.findings] == [("nested_archive", "inner.zip")]


def test_a_member_called_nothing_is_passed_over(tmp_path: Path) -> None:
    with open_source(make_zip(tmp_path / "a.zip", ("a.png", PICTURE), (".", b"x"), ("./", b""))) as source:
        assert [item.name for item in source] == ["a.png"]


def nested(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def test_archives_in_archives_give_their_images_under_both_names(tmp_path: Path) -> None:
    inner = nested(("옷.png", PICTURE), ("deeper.zip", nested(("x/a.png", PICTURE))))
    make_zip(tmp_path / "a.zip", ("b.png", PICTURE), ("in.zip", inner))
    expected = ["b.png", "in.zip/deeper.zip/x/a.png", "in.zip/옷.png"]
    with open_source(tmp_path / "a.zip") as source:
        assert [(item.name, item.open()) for item in source] == [(name, PICTURE) for name in expected]
    with open_source(tmp_path) as folder:
        assert [item.name for item in folder] == [f"a.zip/{name}" for name in expected]
        assert len(folder) == 3


@pytest.mark.parametrize(
    ("inner", "why"),
    [
        (nested(("../a.png", PICTURE)), "out of the archive"),
        (nested(("a.png", b"x" * 400), ("b.png", b"x" * 400)), "unpacks to more than the 1,200"),
        (nested(("b.zip", nested(("c.zip", nested(("d.zip", nested(("a.png", PICTURE)))))))), "3 deep"),
        (b"no zip at all", "not a readable zip"),
    ],
)
def test_a_nested_archive_that_cannot_be_trusted_is_passed_over_with_its_reason(
    tmp_path: Path, inner: bytes, why: str
) -> None:
    path = make_zip(tmp_path / "a.zip", ("good.png", PICTURE), ("in.zip", inner))
    limits = SourceLimits(total_bytes=1200) if "1,200" in why else None
    with open_source(path, limits) as source:
        assert [item.name for item in source] == ["good.png"]
        (finding,) = source.findings
        assert finding["code"] == "nested_archive"
        assert why in finding["detail"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../a.png", "out of the archive"),
        ("a/../../b.png", "out of the archive"),
        ("..\\a.png", "out of the archive"),
        ("/etc/a.png", "absolute"),
        ("C:\\a.png", "absolute"),
    ],
)
def test_a_zip_with_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(SourceError, match=why):
        open_source(make_zip(tmp_path / "a.zip", (name, PICTURE)))


def test_a_zip_with_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(SourceError, match="links"):
        open_source(make_zip(tmp_path / "a.zip", (link, b"/etc/passwd")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_a_member_twice_is_refused(tmp_path: Path) -> None:
    path = make_zip(
        tmp_path / "a.zip", ("원.png", PICTURE), (unicodedata.normalize("NFD", "원.png"), PICTURE)
    )
    with pytest.raises(SourceError, match="twice"):
        open_source(path)


def test_a_zip_bomb_is_refused_by_its_ratio_and_by_its_total(tmp_path: Path) -> None:
    bomb = make_zip(tmp_path / "a.zip", ("a.png", b"\0" * 1_000_000), deflated=True)
    with pytest.raises(SourceError, match="200 times"):
        open_source(bomb)
    two = make_zip(tmp_path / "b.zip", ("a.png", b"x" * 600), ("b.png", b"x" * 600))
    with pytest.raises(SourceError, match="1,000 bytes"):
        open_source(two, SourceLimits(total_bytes=1000))


def test_korean_windows_names_are_read_without_the_utf8_flag(tmp_path: Path) -> None:
    raw = "한글옷.png".encode("cp949")
    path = make_zip(tmp_path / "a.zip", ("x" * len(raw), PICTURE))
    path.write_bytes(path.read_bytes().replace(b"x" * len(raw), raw))
    with open_source(path) as source:
        (item,) = source
        assert (item.name, item.name_bytes, item.open()) == ("한글옷.png", raw, PICTURE)


def test_a_damaged_member_is_an_error_of_that_item(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", ("a.png", b"A" * 500))
    path.write_bytes(path.read_bytes().replace(b"AAAA", b"AABA", 1))
    with open_source(path) as source:
        (item,) = source
        with pytest.raises(SourceError, match="damaged"):
            item.open()


def test_what_only_calls_itself_a_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("no zip")
    with pytest.raises(SourceError, match="not a readable zip"):
        open_source(tmp_path / "a.zip")


def test_a_csv_manifest_carries_its_overrides(tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "a.png").write_bytes(PICTURE)
    manifest = tmp_path / "m.csv"
    manifest.write_text("file,supplier,rights,batch\npics/a.png,다온,owned,\n", encoding="utf-8-sig")
    (item,) = open_source(manifest)
    assert (item.name, item.supplier, item.rights, item.batch) == ("pics/a.png", "다온", "owned", None)
    assert item.open() == PICTURE


def test_a_jsonl_manifest_carries_its_overrides(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(json.dumps({"file": "a.png", "batch": "b1", "rights": None}) + "\n\n")
    (item,) = open_source(manifest)
    assert (item.name, item.rights, item.batch) == ("a.png", None, "b1")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "file,colour\na.png,red\n", "line 1: unknown column 'colour'"),
        ("m.csv", "supplier\nx\n", "line 1: there is no column 'file'"),
        ("m.csv", "file\na.png\nmissing.png\n", "line 3: there is no file 'missing.png'"),
        ("m.csv", "file,rights\na.png,stolen\n", "line 2: rights 'stolen' is none of"),
        ("m.csv", "file\na.png\na.png\n", "line 3: 'a.png' is there already in line 2"),
        ("m.csv", "file\n../a.png\n", "line 2: '../a.png' does not lie"),
        ("m.csv", "file,batch\na.png\n", "line 2: 1 cells for 2 columns"),
        ("m.jsonl", '{"file":"a.png"}\n{"file":\n', "line 2: not JSON"),
        ("m.jsonl", "[1]\n", "line 1: not an object"),
        ("m.jsonl", '{"file":1}\n', "line 1: file is not text"),
        ("m.jsonl", '{"file":"a.png","x":"y"}\n', "line 1: unknown column 'x'"),
        ("m.jsonl", '{"batch":"a"}\n', "line 1: no file is named"),
    ],
)
def test_a_faulty_manifest_is_refused_with_its_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError) as caught:
        open_source(tmp_path / name)
    assert message in caught.value.detail


def test_what_is_not_there_and_what_cannot_be_read_yet_say_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        open_source(tmp_path / "nothing")
    with pytest.raises(SourceError, match="an address is written s3://bucket/prefix"):
        open_source("s3://x")


def test_manifests_know_the_same_rights_as_images_do() -> None:
    assert set(sources.RIGHTS) == {right.value for right in Rights}


def test_a_name_of_no_known_encoding_is_still_a_name(tmp_path: Path) -> None:
    raw = b"\xff\xfe\x81.png"
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + raw)).write_bytes(PICTURE)
    (item,) = open_source(tmp_path)
    assert item.name.endswith(".png")
    assert item.name_bytes == raw
    assert item.open() == PICTURE
