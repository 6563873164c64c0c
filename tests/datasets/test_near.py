"""Pictures that are nearly the same, found among all of a release and never parted by its split."""

import random
from itertools import combinations

import pytest
import sqlalchemy as sa

from crowd.core import clock
from crowd.datasets import service
from crowd.datasets.models import ReleaseImage
from crowd.datasets.near import JoinedLooks, near_pairs
from crowd.images.delivery_models import Fingerprint
from crowd.images.fingerprints import BANDS, bands_of, signed_hash
from crowd.runtime import Runtime
from tests.datasets.factories import Crowd

GREY = bytes([128] * 192)


def test_every_near_pair_is_found_and_no_other() -> None:
    rng = random.Random(3)
    hashes = [rng.getrandbits(64) for _ in range(60)]
    for number in list(hashes):
        hashes += [number ^ sum(1 << bit for bit in rng.sample(range(64), flips)) for flips in range(1, 6)]
    hashes = [signed_hash(number) for number in hashes]
    for most_bits in (0, 3):
        wanted = {
            (left, right)
            for left, right in combinations(range(len(hashes)), 2)
            if ((hashes[left] ^ hashes[right]) & (1 << 64) - 1).bit_count() <= most_bits
        }
        assert set(near_pairs(hashes, most_bits)) == wanted
    assert len(wanted) > 100, "there is something to be found"


def test_joined_looks_stand_together_whatever_the_order() -> None:
    pairs = [(7, 3), (9, 8), (3, 9), (20, 21)]
    for seed in range(5):
        random.Random(seed).shuffle(pairs)
        joined = JoinedLooks()
        for one, other in pairs:
            joined.join(one, other)
        assert [joined.of(look) for look in (3, 7, 8, 9, 20, 21, 5)] == [3, 3, 3, 3, 20, 20, 5]


def fingerprint(rt: Runtime, image_id: int, phash: int, colours: bytes) -> None:
    signed = signed_hash(phash)
    with rt.db.begin() as conn:
        conn.execute(
            sa.insert(Fingerprint).values(
                image_id=image_id,
                pixels_sha256=image_id.to_bytes(32, "big"),
                phash=signed,
                colours=colours,
                **dict(zip(BANDS, bands_of(signed), strict=True)),
            )
        )


@pytest.mark.parametrize("colours_differ", [False, True])
def test_near_duplicates_are_never_in_two_parts(rt: Runtime, colours_differ: bool) -> None:
    crowd = Crowd(rt)
    images = crowd.accept(60)
    rng = random.Random(4)
    for start in range(0, 60, 3):
        phash = rng.getrandbits(64)
        for place, image_id in enumerate(images[start : start + 3]):
            # The third is near the second alone: a chain holds together all the same.
            bits = sum(1 << bit for bit in range(2 * place))
            colours = bytes([128 + 60 * place] * 192) if colours_differ else GREY
            fingerprint(rt, image_id, phash ^ bits, colours)
    release = service.create_release(
        rt.db,
        "near",
        taxonomy_id=crowd.taxonomy_id,
        by=None,
        now=clock.now(),
        policy=rt.policy,
    )
    with rt.db.read() as conn:
        rows = conn.execute(
            sa.select(ReleaseImage.image_id, ReleaseImage.split).where(ReleaseImage.release_id == release.id)
        )
        splits = dict(rows.all())
    parted = [
        start for start in range(0, 60, 3) if len({splits[each] for each in images[start : start + 3]}) > 1
    ]
    # Pictures of other colours are no duplicates, so chance parts them.
    assert bool(parted) is colours_differ
    assert len(set(splits.values())) == 3
