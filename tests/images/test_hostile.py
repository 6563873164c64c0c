"""Whatever file is thrown at intake is decided on or refused with a reason: no crash, no hang, no growth.

A few seconds of it run with the tests; `python -m tests.images.test_hostile --minutes 60 --seed 7` goes on
longer and prints each file that breaks a promise.
"""

import argparse
import io
import random
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from crowd.images.decode import MEMORY, DecodeLimits, Decoder, Unreadable
from crowd.images.sources import SourceError, SourceLimits, open_source
from crowd.policy import Grade
from tests.images.corpus import HOSTILE, generated, mutated, picture
from tests.kinds import Bearer, Client, MakeWorker

SECONDS = 10.0
# The child's own cap, and what the process around it may need for answering.
PEAK_KIB = MEMORY // 1024


def decode_one(decoder: Decoder, data: bytes, folder: Path) -> str:
    """What became of it: `ok`, or the reason. Raises AssertionError for a broken promise."""
    source, working, thumbnail = folder / "s", folder / "w.jpg", folder / "t.jpg"
    source.write_bytes(data)
    for made in (working, thumbnail):
        made.unlink(missing_ok=True)
    started = time.monotonic()
    try:
        decoder.derive(source, working, thumbnail)
        told = "ok"
        assert working.read_bytes()[:2] == thumbnail.read_bytes()[:2] == b"\xff\xd8"
    except Unreadable as problem:
        told = problem.reason
        assert told, "every refusal says why"
        assert str(folder) not in told
        assert not working.exists()
    assert time.monotonic() - started < SECONDS, "it hung"
    assert not list(folder.glob(".*.part")), "something is left behind"
    if decoder.pid:
        assert peak_kib(decoder.pid) < PEAK_KIB
    return told


def peak_kib(pid: int) -> int:
    """The most memory a process has had, where the system tells."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM")), 0)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(DecodeLimits(wall_seconds=8)) as shared:
        yield shared


@pytest.mark.parametrize("seed", range(3))
def test_generated_and_mutated_files_are_decoded_or_refused_with_a_reason(
    seed: int, decoder: Decoder, tmp_path: Path
) -> None:
    files = generated(random.Random(seed))
    told = [decode_one(decoder, next(files), tmp_path) for _ in range(40)]
    assert "ok" in told
    assert set(told) != {"ok"}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_what_is_made_to_hurt_does_not(name: str, decoder: Decoder, tmp_path: Path) -> None:
    decode_one(decoder, HOSTILE[name](), tmp_path)


def test_no_such_file_brings_the_server_an_error_of_its_own(
    client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    admin = bearer(make_worker(Grade.ADMIN)[1])
    files = generated(random.Random(11))
    corpus = [*(make() for make in HOSTILE.values()), *(next(files) for _ in range(15))]
    names = (
        "a.jpg",
        "../../etc/passwd",
        "C:\\x.png",
        "\ud83d\ude00.gif".encode("utf-16", "surrogatepass").decode("utf-16"),
        "a" * 400,
    )
    for number, data in enumerate(corpus):
        form = {"supplier": "Shop", "rights": "owned", "file": (io.BytesIO(data), names[number % len(names)])}
        answer = client.post("/api/v1/images", data=form, headers=admin)
        assert answer.status_code in (201, 413, 422), answer.json
        if answer.status_code == 422:
            assert answer.json["errors"]["file"][0]


def test_archives_broken_anywhere_are_read_or_refused(tmp_path: Path) -> None:
    rng = random.Random(5)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for kind in ("PNG", "GIF"):
            archive.writestr(f"한글/{kind}.{kind.lower()}", picture(rng, kind))
        archive.writestr("in.zip", out.getvalue() or b"PK")
    limits = SourceLimits(total_bytes=10_000_000, members=1000, nested_bytes=1_000_000)
    path = tmp_path / "a.zip"
    for _ in range(150):
        path.write_bytes(mutated(rng, out.getvalue()))
        try:
            with open_source(path, limits) as source:
                for item in source:
                    assert not item.name.startswith("/")
                    assert ".." not in item.name.split("/")
                    try:
                        assert len(item.open()) <= limits.item_bytes
                    except SourceError as problem:
                        assert problem.detail
        except SourceError as problem:
            assert problem.detail
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.zip"], "nothing is unpacked beside it"


def main() -> int:
    """Go on for as long as asked; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    end = time.monotonic() + 60 * given.minutes
    files = generated(random.Random(given.seed))
    tried = broken = 0
    with tempfile.TemporaryDirectory() as folder, Decoder(DecodeLimits(wall_seconds=8)) as decoder:
        while time.monotonic() < end:
            data = next(files)
            tried += 1
            try:
                decode_one(decoder, data, Path(folder))
            except (AssertionError, OSError) as error:
                broken += 1
                Path(f"broken-{given.seed}-{tried}.bin").write_bytes(data)
                print(f"file {tried}: {error}; kept as broken-{given.seed}-{tried}.bin")
    print(f"{tried} files, {broken} broke a promise")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
