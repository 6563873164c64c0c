"""The same promises of a folder and of a bucket on a local S3 server."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from crowd.core.config import SettingsError
from crowd.core.s3 import connect_s3, parse_s3
from crowd.core.storage import FolderStorage, S3Storage, open_storage
from tests.s3 import S3Server, start_s3


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with start_s3() as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> FolderStorage:
    if request.param == "folder":
        return open_storage(str(tmp_path / "storage"))
    server: S3Server = request.getfixturevalue("s3")
    return open_storage(f"s3://{server.make_bucket()}/some/prefix", tmp_path / "scratch")


def test_what_is_put_can_be_opened_and_deleted(storage: FolderStorage) -> None:
    assert not storage.exists("a/b.jpg")
    storage.put("a/b.jpg", b"one")
    storage.put("a/b.jpg", b"two")
    assert storage.exists("a/b.jpg")
    with storage.opened("a/b.jpg") as path:
        assert path.read_bytes() == b"two"
    assert storage.local("a/b.jpg").read_bytes() == b"two"
    storage.delete("a/b.jpg")
    storage.delete("a/b.jpg")
    assert not storage.exists("a/b.jpg")
    with pytest.raises(FileNotFoundError), storage.opened("a/b.jpg"):
        pass


def test_a_file_is_there_after_it_was_written_and_not_when_that_failed(storage: FolderStorage) -> None:
    with storage.writing("w/a.jpg") as path:
        path.write_bytes(b"whole")
    assert storage.local("w/a.jpg").read_bytes() == b"whole"
    with pytest.raises(RuntimeError), storage.writing("w/b.jpg"):
        raise RuntimeError
    assert not storage.exists("w/b.jpg")


def test_nothing_is_left_aside(storage: FolderStorage) -> None:
    storage.put("a", b"1")
    with storage.opened("a"), storage.temporary():
        pass
    assert list((storage.root / "tmp").glob("*")) == []


def test_a_presigned_address_gives_the_file_and_only_to_whom_it_was_signed(
    s3: S3Server, tmp_path: Path
) -> None:
    storage = open_storage(f"s3://{s3.make_bucket()}/p", tmp_path)
    assert isinstance(storage, S3Storage)
    storage.put("w/a.jpg", b"pixels")
    address = storage.address("w/a.jpg", mimetype="image/jpeg")
    assert address is not None
    assert storage.origin is not None
    assert address.startswith(storage.origin)
    answer = httpx.get(address)
    assert (answer.content, answer.headers["content-type"]) == (b"pixels", "image/jpeg")
    assert "X-Amz-Signature" in address
    assert "X-Amz-Expires=3600" in address


def test_keys_come_in_order_page_by_page(s3: S3Server, tmp_path: Path) -> None:
    storage = open_storage(f"s3://{s3.make_bucket()}", tmp_path)
    assert isinstance(storage, S3Storage)
    names = [f"k/{number:04}" for number in range(1005)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: storage.put(name, b"x"), names))
    assert list(storage.keys("k/")) == names


def test_a_bucket_that_is_not_there_is_an_error_of_the_disk_and_says_so(s3: S3Server, tmp_path: Path) -> None:
    storage = open_storage(f"s3://nobody-{uuid4().hex[:8]}/p", tmp_path)
    with pytest.raises(OSError, match="bucket"):
        storage.put("a", b"x")


@pytest.mark.parametrize("address", ["s3://", "s3://x", "ftp://there/a", "s3://é-bucket/a"])
def test_what_is_no_storage_is_named(address: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="CROWD_STORAGE"):
        open_storage(address, tmp_path)


def test_an_address_has_a_bucket_and_a_prefix() -> None:
    place = parse_s3("s3://pictures/of/spring/")
    assert (place.bucket, place.prefix) == ("pictures", "of/spring")
    assert os.environ.get("AWS_ENDPOINT_URL_S3") is None or connect_s3("pictures").name == "pictures"
