"""Which images are the same or nearly: by their decoded pixels, and by hash bands and colours.

Two hashes that differ by three bits or fewer share one of their four quarters, each of which has an index; so
a search is four looks into an index, however many images there are. Recolouring hardly moves a hash, so
colours are compared too: another colourway of a garment is no duplicate.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import INSERT, literal
from crowd.core.statements import Statement
from crowd.images.checks import Found
from crowd.images.decode import Derived
from crowd.images.delivery_models import Fingerprint
from crowd.images.models import IMAGE_STATE, Image, ImageState
from crowd.policy import Action
from crowd.policy.intake import DuplicateRule

BANDS = ("band0", "band1", "band2", "band3")
BAND_BITS = 16
HALF = 1 << (BAND_BITS - 1)
SIGN = 1 << 64
ALL_BITS = SIGN - 1
# Colourways of one garment may share a hash: so many are looked at in one statement.
NEAR_CHUNK = 200

_BAND_COLUMNS = [Fingerprint.__table__.c[name] for name in BANDS]
_NEAR = Statement(
    sa.union_all(
        *(
            sa.select(Fingerprint.image_id, Fingerprint.phash).where(
                column == sa.bindparam(name, type_=column.type)
            )
            for name, column in zip(BANDS, _BAND_COLUMNS, strict=True)
        )
    )
)


def compare(conn: Connection, rule: DuplicateRule, image_id: int, derived: Derived) -> list[Found]:
    """What is found against the images before this one, whose fingerprint is kept.

    The database decides which of two equal ones came first.
    """
    phash = derived.signals["phash"]
    signed = None if phash is None else signed_hash(int(phash, 16))
    colours = bytes.fromhex(derived.signals["colours"]) if derived.signals["colours"] else None
    first = _keep(conn, image_id, bytes.fromhex(derived.pixels_sha256), signed, colours)
    if first is not None and rule.exact is not Action.IGNORE:
        numbers = {"of": first, "by": "pixels"}
        return [Found("duplicate", f"the same pixels as image {first}", rule.exact, numbers)]
    if rule.near is Action.IGNORE or signed is None or colours is None:
        return []
    return find_near(conn, rule, image_id, signed, colours)


def near_hashes(conn: Connection, signed: int, most_bits: int) -> list[tuple[int, int]]:
    """Bits apart and id of each image with a hash that near, nearest and oldest first; exact to 3 bits."""
    rows = _NEAR.run(conn, dict(zip(BANDS, bands_of(signed), strict=True))).all()
    # A set: a picture may share several quarters.
    near = {
        (bits, image_id)
        for image_id, phash in rows
        if (bits := ((phash ^ signed) & ALL_BITS).bit_count()) <= most_bits
    }
    return sorted(near)


def signed_hash(phash: int) -> int:
    """A 64-bit hash as the database keeps it."""
    return phash - SIGN if phash >= SIGN // 2 else phash


def bands_of(signed: int) -> list[int]:
    """The four quarters of a hash, as the database keeps them."""
    bits = signed % SIGN
    return [(bits >> BAND_BITS * number) % (2 * HALF) - HALF for number in range(len(BANDS))]


def _keep(
    conn: Connection, image_id: int, pixels: bytes, signed: int | None, colours: bytes | None
) -> int | None:
    """Keep a fingerprint; the image that has these pixels already, if there is one."""
    insert = INSERT[conn.dialect.name](Fingerprint)
    bands: Sequence[int | None] = bands_of(signed) if signed is not None else [None] * len(BANDS)
    values: dict[str, Any] = {
        "image_id": image_id,
        "pixels_sha256": pixels,
        "phash": signed,
        "colours": colours,
        **dict(zip(BANDS, bands, strict=True)),
    }
    kept = conn.execute(
        insert.values(values)
        .on_conflict_do_nothing(index_elements=[Fingerprint.pixels_sha256])
        .returning(Fingerprint.image_id)
    ).scalar_one_or_none()
    if kept is not None:
        return None
    return conn.execute(
        sa.select(Fingerprint.image_id).where(Fingerprint.pixels_sha256 == pixels)
    ).scalar_one()


def find_near(
    conn: Connection, rule: DuplicateRule, image_id: int, signed: int, colours: bytes
) -> list[Found]:
    """The finding that another image is nearly the same, by hash and colours; none if there is no other."""
    near = [each for each in near_hashes(conn, signed, rule.most_bits) if each[1] != image_id]
    for start in range(0, len(near), NEAR_CHUNK):
        some = near[start : start + NEAR_CHUNK]
        others = _colours_of(conn, [other for _, other in some])
        for bits, other in some:
            if other not in others:
                continue
            hue = max(abs(a - b) for a, b in zip(colours, others[other], strict=True))
            if hue <= rule.most_hue:
                return [_near(rule, other, bits, hue)]
    return []


def _near(rule: DuplicateRule, other: int, bits: int, hue: int) -> Found:
    return Found(
        "near_duplicate",
        f"nearly the same picture as image {other}",
        rule.near,
        {"of": other, "bits": bits, "hue": hue},
        {"most_bits": rule.most_bits, "most_hue": rule.most_hue},
    )


def _colours_of(conn: Connection, image_ids: Sequence[int]) -> dict[int, bytes]:
    """The colours of those of the images that may still be used: what is turned away is in nobody's way."""
    states = [literal(state, IMAGE_STATE) for state in (ImageState.REFUSED, ImageState.WITHDRAWN)]
    gone = sa.exists().where(Image.id == Fingerprint.image_id, Image.state.in_(states))
    rows = conn.execute(
        sa.select(Fingerprint.image_id, Fingerprint.colours).where(
            Fingerprint.image_id.in_(image_ids), Fingerprint.colours.is_not(None), ~gone
        )
    )
    return {other: colours for other, colours in rows if colours is not None}
