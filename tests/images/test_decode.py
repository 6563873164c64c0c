"""Hostile and awkward files against the real child process."""

import io
import os
import random
import signal
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageCms

from crowd.images.decode import DecodeLimits, Decoder, Derived, Starved, Unreadable, derive


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder() as shared:
        yield shared


class Bench:
    """A folder with a source and the two files made of it."""

    def __init__(self, folder: Path, decoder: Decoder) -> None:
        self.source, self.working, self.thumbnail = (folder / name for name in ("source", "w.jpg", "t.jpg"))
        self.decoder = decoder

    def derive(self, data: bytes) -> Derived:
        self.source.write_bytes(data)
        return self.decoder.derive(self.source, self.working, self.thumbnail)

    def pixel(self, x: int, y: int) -> tuple[int, int, int]:
        with Image.open(self.working) as image:
            value = image.convert("RGB").getpixel((x, y))
        assert isinstance(value, tuple)
        return int(value[0]), int(value[1]), int(value[2])


@pytest.fixture
def bench(tmp_path: Path, decoder: Decoder) -> Bench:
    return Bench(tmp_path, decoder)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def noise(width: int, height: int) -> Image.Image:
    return Image.frombytes("RGB", (width, height), random.Random(1).randbytes(width * height * 3))


def huge_png() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )


def near(actual: tuple[int, int, int], expected: tuple[int, int, int], by: int = 12) -> bool:
    return all(abs(a - b) <= by for a, b in zip(actual, expected, strict=True))


def test_a_turned_photograph_is_set_upright(bench: Bench) -> None:
    lying = Image.new("RGB", (60, 40), "blue")
    lying.paste((255, 0, 0), (0, 0, 60, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    derived = bench.derive(encoded(lying, "JPEG", exif=exif, quality=95))
    assert (derived.width, derived.height) == (40, 60)
    assert (derived.original_width, derived.original_height) == (40, 60)
    assert near(bench.pixel(35, 30), (255, 0, 0), 20)
    assert near(bench.pixel(5, 30), (0, 0, 255), 20)


def test_cmyk_without_a_profile_becomes_rgb(bench: Bench) -> None:
    derived = bench.derive(encoded(Image.new("CMYK", (30, 30), (0, 255, 255, 0)), "JPEG"))
    assert derived.format == "JPEG"
    red, green, blue = bench.pixel(15, 15)
    assert red > 200
    assert green < 60
    assert blue < 60


def test_a_colour_profile_is_applied_and_dropped(bench: Bench) -> None:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    derived = bench.derive(
        encoded(Image.new("RGB", (20, 20), (255, 0, 0)), "PNG", icc_profile=bytes(profile))
    )
    assert not derived.findings
    assert near(bench.pixel(10, 10), (0, 0, 255), 8)
    with Image.open(bench.working) as image:
        assert "icc_profile" not in image.info


def test_a_broken_colour_profile_is_a_finding_and_no_refusal(bench: Bench) -> None:
    derived = bench.derive(encoded(Image.new("RGB", (20, 20), "red"), "PNG", icc_profile=b"no profile"))
    assert [finding["code"] for finding in derived.findings] == ["bad_profile"]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(bench: Bench, kind: str) -> None:
    ramp = Image.frombytes("I;16", (256, 8), b"".join(struct.pack("<H", x * 257) for x in range(256)) * 8)
    bench.derive(encoded(ramp, kind))
    assert [near(bench.pixel(x, 4), (x, x, x), 3) for x in (0, 10, 64, 128, 200, 255)] == [True] * 6


def test_transparent_palette_colours_turn_white(bench: Bench) -> None:
    image = Image.new("P", (20, 20), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.paste(1, (10, 0, 20, 20))
    bench.derive(encoded(image, "PNG", transparency=0))
    assert near(bench.pixel(2, 10), (255, 255, 255))
    assert near(bench.pixel(17, 10), (255, 0, 0), 25)


def test_half_transparent_pixels_mix_with_white(bench: Bench) -> None:
    bench.derive(encoded(Image.new("RGBA", (20, 20), (0, 0, 0, 128)), "WEBP", lossless=True))
    assert near(bench.pixel(10, 10), (127, 127, 127), 4)


def test_an_animation_gives_its_first_frame_and_says_so(bench: Bench) -> None:
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "green", "blue")]
    derived = bench.derive(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert derived.frames == 3
    assert [finding["code"] for finding in derived.findings] == ["animated"]
    assert near(bench.pixel(10, 10), (255, 0, 0), 6)


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_truncated_jpeg_is_unreadable_and_leaves_nothing_behind(bench: Bench, cut: float) -> None:
    whole = encoded(noise(200, 200), "JPEG")
    with pytest.raises(Unreadable, match=r"damaged|truncated"):
        bench.derive(whole[: int(len(whole) * cut)])
    assert os.listdir(bench.source.parent) == ["source"]


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "a")
    return out.getvalue()


@pytest.mark.parametrize(
    "data", [b"", b"only text", zipped(), b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xff\xd8\xff\xe0"]
)
def test_what_is_no_picture_is_unreadable_whatever_its_name(bench: Bench, data: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        bench.derive(data)
    assert str(bench.source) not in caught.value.reason


def test_formats_outside_the_list_are_not_decoded(bench: Bench) -> None:
    with pytest.raises(Unreadable, match="formats"):
        bench.derive(encoded(noise(10, 10), "PPM"))


def test_a_png_that_claims_billions_of_pixels_is_refused_before_decoding(bench: Bench) -> None:
    with pytest.raises(Unreadable, match="pixels"):
        bench.derive(huge_png())


def test_the_pixel_cap_is_our_own(tmp_path: Path) -> None:
    source = tmp_path / "s.png"
    source.write_bytes(encoded(noise(101, 100), "PNG"))
    with pytest.raises(Unreadable, match="10,000"):
        derive(source, tmp_path / "w", tmp_path / "t", DecodeLimits(max_pixels=10_000))
    derive(source, tmp_path / "w", tmp_path / "t", DecodeLimits(max_pixels=10_100))


def test_too_little_memory_ends_the_file_and_not_the_decoder(tmp_path: Path) -> None:
    big, small = tmp_path / "big.png", tmp_path / "small.png"
    big.write_bytes(encoded(Image.new("RGB", (7000, 7000)), "PNG"))
    small.write_bytes(encoded(noise(10, 10), "PNG"))
    with Decoder(DecodeLimits(memory_bytes=160 * 1024**2)) as decoder:
        with pytest.raises(Unreadable, match="memory"):
            decoder.derive(big, tmp_path / "w", tmp_path / "t")
        assert decoder.derive(small, tmp_path / "w", tmp_path / "t").width == 10


def test_nothing_of_the_metadata_is_left(bench: Bench) -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (37.0, 33.0, 59.0)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    bench.derive(
        encoded(
            noise(900, 900), "JPEG", exif=exif, comment=b"secret word", icc_profile=profile, xmp=b"secret xmp"
        )
    )
    for made in (bench.working, bench.thumbnail):
        data = made.read_bytes()
        assert b"secret" not in data
        assert b"Exif" not in data
        assert b"ICC_PROFILE" not in data
        with Image.open(made) as image:
            assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
            assert not image.getexif()


def test_a_small_picture_is_never_enlarged(bench: Bench) -> None:
    derived = bench.derive(encoded(noise(120, 90), "BMP"))
    assert (derived.width, derived.height) == (120, 90)
    with Image.open(bench.thumbnail) as image:
        assert image.size == (120, 90)


def test_a_large_picture_keeps_its_aspect(bench: Bench) -> None:
    derived = bench.derive(encoded(noise(1200, 1600), "JPEG"))
    assert (derived.width, derived.height, derived.original_width) == (800, 1067, 1200)
    with Image.open(bench.working) as working, Image.open(bench.thumbnail) as thumbnail:
        assert working.size == (800, 1067)
        assert thumbnail.size == (192, 256)


def test_the_pixel_digest_is_blind_to_metadata_and_sees_pixels(bench: Bench) -> None:
    image = noise(50, 40)
    first = bench.derive(encoded(image, "PNG")).pixels_sha256
    assert bench.derive(encoded(image, "BMP", dpi=(300, 300))).pixels_sha256 == first
    image.putpixel((49, 39), (1, 2, 3))
    assert bench.derive(encoded(image, "PNG")).pixels_sha256 != first


def test_a_child_killed_in_mid_work_costs_one_file(tmp_path: Path) -> None:
    pipe, good = tmp_path / "pipe", tmp_path / "good.png"
    os.mkfifo(pipe)
    good.write_bytes(encoded(noise(10, 10), "PNG"))
    with Decoder() as decoder:
        decoder.derive(good, tmp_path / "w", tmp_path / "t")
        first = decoder.pid
        assert first is not None
        # The child blocks on a pipe that nobody writes to: certainly in the middle of its work.
        killer = threading.Timer(0.3, os.kill, (first, signal.SIGKILL))
        killer.start()
        with pytest.raises(Unreadable, match="broke off"):
            decoder.derive(pipe, tmp_path / "w2", tmp_path / "t2")
        killer.join()
        assert decoder.derive(good, tmp_path / "w3", tmp_path / "t3").width == 10
        assert decoder.pid != first
    assert sorted(os.listdir(tmp_path)) == ["good.png", "pipe", "t", "t3", "w", "w3"]


def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    started = time.monotonic()
    with pytest.raises(Unreadable, match="longer"):
        derive(pipe, tmp_path / "w", tmp_path / "t", DecodeLimits(wall_seconds=0.6))
    assert time.monotonic() - started < 5
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_file_that_only_waits_for_a_processor_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(encoded(noise(2500, 2500), "PNG"))
    hurried = DecodeLimits(wall_seconds=0.01)
    starved = replace(hurried, starved_seconds=0.02)
    assert derive(tmp_path / "large.png", tmp_path / "w", tmp_path / "t", hurried).original_width == 2500
    with pytest.raises(Starved, match="no processor"):
        derive(tmp_path / "large.png", tmp_path / "w2", tmp_path / "t2", starved)
    assert sorted(os.listdir(tmp_path)) == ["large.png", "t", "w"]


def test_the_child_stands_behind_whatever_people_wait_for(bench: Bench) -> None:
    bench.derive(encoded(noise(10, 10), "PNG"))
    assert bench.decoder.pid is not None
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, bench.decoder.pid) == min(ours + 10, 19)


def test_one_child_takes_many_files(bench: Bench) -> None:
    bench.derive(encoded(noise(10, 10), "PNG"))
    first = bench.decoder.pid
    with pytest.raises(Unreadable):
        bench.derive(b"text")
    bench.derive(encoded(noise(11, 10), "PNG"))
    assert bench.decoder.pid == first


def test_a_disk_that_does_not_take_the_result_is_no_fault_of_the_picture(
    bench: Bench, tmp_path: Path
) -> None:
    bench.source.write_bytes(encoded(noise(10, 10), "PNG"))
    with pytest.raises(OSError, match="No such file"):
        bench.decoder.derive(bench.source, tmp_path / "missing" / "w", tmp_path / "missing" / "t")
    assert bench.derive(encoded(noise(10, 10), "PNG")).width == 10
