"""Pictures that are the same or nearly, whatever bytes they come in."""

import io

import pytest
import sqlalchemy as sa
from PIL import Image, ImageDraw

from crowd.core import clock
from crowd.images.delivery_models import Fingerprint
from crowd.images.fingerprints import bands_of, find_near, near_hashes, signed_hash
from crowd.images.history import Happening, record
from crowd.images.models import ImageState, What
from crowd.images.rights import Rights
from crowd.images.service import Delivery, Intake, take_upload
from crowd.runtime import Runtime
from crowd.simulation.drawing import draw


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def take(rt: Runtime, image: Image.Image, name: str, kind: str = "PNG", **options: object) -> Intake:
    return take_upload(rt, encoded(image, kind, **options), Delivery("Shop", name, Rights.OWNED), None)


def dress(colour: str) -> Image.Image:
    image = Image.new("RGB", (400, 600), "white")
    pencil = ImageDraw.Draw(image)
    pencil.ellipse((160, 20, 240, 110), fill="tan")
    pencil.polygon([(150, 120), (250, 120), (330, 560), (70, 560)], fill=colour)
    pencil.line([(150, 300), (260, 320)], fill="black", width=6)
    return image


def test_the_same_pixels_in_other_bytes_are_a_duplicate_of_the_first(rt: Runtime) -> None:
    image = draw(3).image.convert("RGB")
    first = take(rt, image, "a.png")
    again = take(rt, image, "b.bmp", "BMP", dpi=(300, 300))
    assert again.state is ImageState.REFUSED
    (found,) = [each for each in again.findings if each.code == "duplicate"]
    assert found.numbers == {"of": first.image_id, "by": "pixels"}


def test_a_smaller_print_of_a_picture_is_held_with_its_numbers(rt: Runtime) -> None:
    image = draw(5).image.convert("RGB")
    first = take(rt, image, "a.png")
    small = image.resize((image.width * 3 // 4, image.height * 3 // 4), Image.Resampling.LANCZOS)
    again = take(rt, small, "b.jpg", "JPEG", quality=80)
    assert (first.state, again.state) == (ImageState.IN_WORK, ImageState.HELD)
    (found,) = [each for each in again.findings if each.code == "near_duplicate"]
    assert found.numbers["of"] == first.image_id
    assert found.numbers["bits"] <= found.limits["most_bits"] == 3
    assert found.numbers["hue"] <= found.limits["most_hue"]


def test_another_colourway_is_no_duplicate(rt: Runtime) -> None:
    taken = [take(rt, dress(colour), f"{colour}.png") for colour in ("crimson", "navy", "seagreen")]
    assert {each.state for each in taken} == {ImageState.IN_WORK}


def test_what_is_refused_or_withdrawn_is_in_nobodys_way(rt: Runtime) -> None:
    image = draw(5).image.convert("RGB")
    first = take(rt, image, "a.png")
    for step, what in enumerate((What.REFUSED, What.WITHDRAWN)):
        with rt.db.begin() as conn:
            record(conn, first.image_id, Happening(what), clock.now())
        side = image.width * (3 + step) // 6
        small = image.resize((side, image.height * side // image.width), Image.Resampling.LANCZOS)
        first = take(rt, small, f"{step}.jpg", "JPEG", quality=80)
        assert first.state is ImageState.IN_WORK


def test_many_colourways_that_share_a_hash_are_looked_at_in_few_statements(rt: Runtime) -> None:
    for number in range(12):
        take(rt, dress(f"rgb({20 * number}, {255 - 20 * number}, 128)"), f"{number}.png")
    statements: list[str] = []

    def count(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    sa.event.listen(rt.db.engine, "before_cursor_execute", count)
    with rt.db.read() as conn:
        known = conn.execute(sa.select(Fingerprint.phash, Fingerprint.image_id)).first()
        assert known is not None
        statements.clear()
        find_near(conn, rt.policy.intake.duplicates, 0, known.phash, bytes(192))
    sa.event.remove(rt.db.engine, "before_cursor_execute", count)
    assert len(statements) == 2


def test_plain_pictures_without_contrast_are_not_taken_for_each_other(rt: Runtime) -> None:
    taken = [take(rt, Image.new("RGB", (200, 200 + step), (90, 90, 90)), f"{step}.png") for step in range(3)]
    assert {each.state for each in taken} == {ImageState.IN_WORK}


@pytest.mark.parametrize("bits", [0, 1, 2, 3])
def test_every_hash_up_to_three_bits_away_is_found_wherever_the_bits_lie(rt: Runtime, bits: int) -> None:
    known = take(rt, draw(9).image.convert("RGB"), "a.png")
    with rt.db.read() as conn:
        phash = conn.execute(Fingerprint.__table__.select()).one().phash
        # A bit in each of as many quarters: only one of the four is left as it was, at the least.
        for shift in (0, 5, 15):
            asked = phash
            for band in range(bits):
                asked ^= signed_hash(1 << (16 * band + shift)) if band < 3 or shift < 15 else -(1 << 63)
            assert near_hashes(conn, asked, 3) == [(bits, known.image_id)]


def test_quarters_hold_the_whole_hash() -> None:
    for phash in (0, 1, (1 << 64) - 1, 1 << 63, 0x0123_4567_89AB_CDEF):
        bands = bands_of(signed_hash(phash))
        assert sum((band + 32768) << 16 * place for place, band in enumerate(bands)) == phash
        assert all(-32768 <= band < 32768 for band in bands)
