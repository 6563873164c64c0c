"""WebDataset: tar shards of a page each, for every image a `.jpg` and a `.json` with all of its labels."""

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from crowd.datasets.check import CheckReport
from crowd.datasets.formats.kfashion import Written
from crowd.datasets.formats.kinds import Fetch, File, FileSet, Guide, Whole
from crowd.datasets.inspect import Found, inspect
from crowd.datasets.records import Header, ReleasedImage, plain
from crowd.taxonomy import Taxonomy


class WebDataset:
    """`<split>-NNNNNN.tar`, whose members follow from the release alone."""

    name = "webdataset"
    by_split = True
    needs: Sequence[str] = ()

    def layouts(self, taxonomy: Taxonomy) -> Sequence[str]:
        """See Format.layouts."""
        return ("shards",)

    def refusal(self, taxonomy: Taxonomy) -> str | None:
        """See Format.refusal."""
        return None

    def files(
        self, records: Sequence[ReleasedImage], page: int, layout: str, taxonomy: Taxonomy
    ) -> Iterator[File]:
        """See Format.files."""
        path = PurePosixPath(f"{records[0].split}-{page:06}.tar")
        yield File(path, _Shard(records), tuple(record.id for record in records))

    def closing(self, whole: Whole) -> Iterator[File]:
        """See Format.closing."""
        return iter(())

    def values(self, record: ReleasedImage, taxonomy: Taxonomy) -> Iterator[Written]:
        """See Format.values."""
        return iter(())

    def guide(self, header: Header) -> Guide:
        """See Format.guide."""
        return Guide(
            'shards = sorted(str(path) for path in pathlib.Path(".").glob("train-*.tar"))\n'
            'pairs = webdataset.WebDataset(shards, shardshuffle=False).decode("pil")\n'
            'image, labels = next(iter(pairs.to_tuple("jpg", "json")))'
        )

    def file_sets(self, layout: str) -> Sequence[FileSet]:
        """See Format.file_sets."""
        return (FileSet("shards", "*.tar", "application/x-tar"),)

    def check(self, folder: Path, taxonomy: Taxonomy) -> CheckReport:
        """See Format.check."""
        return inspect(folder, read(folder), taxonomy)


class _Shard:
    """A tar file of these images."""

    def __init__(self, records: Sequence[ReleasedImage]) -> None:
        self._records = records

    def __call__(self, out: IO[bytes], fetch: Fetch) -> None:
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for record in self._records:
                labels = json.dumps(plain(record), ensure_ascii=False, separators=(",", ":"))
                for suffix, data in (("jpg", fetch(record)), ("json", labels.encode())):
                    # Nothing of the machine or of today goes in: the same release gives the same bytes.
                    member = tarfile.TarInfo(f"{record.id:012}.{suffix}")
                    member.size, member.mode = len(data), 0o644
                    member.mtime = int(record.created_at.timestamp())
                    archive.addfile(member, io.BytesIO(data))


def read(folder: Path) -> Iterator[Found]:
    """Every image of such an export, with its labels in the form of `plain`."""
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path, "r:") as archive:
            image = b""
            for member in archive:
                content = archive.extractfile(member)
                assert content is not None
                if member.name.endswith(".jpg"):
                    image = content.read()
                else:
                    yield Found(f"{path.name}: {member.name}", json.load(content), partial(bytes, image))
