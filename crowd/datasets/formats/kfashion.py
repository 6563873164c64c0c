"""The released K-Fashion JSON, exactly: its keys and their order, its rectangles, folders and file names.

Pure. It knows the form alone; a Vocabulary tells which values the released files have a word for.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC
from enum import StrEnum
from functools import cache, lru_cache
from itertools import chain
from pathlib import PurePosixPath
from typing import Any, NamedTuple, Protocol

from crowd.datasets.records import ReleasedImage, Split

Json = dict[str, Any]

# Part keys of the taxonomy, in the order in which the released files list the parts.
PARTS = {"outer": "아우터", "bottom": "하의", "dress": "원피스", "top": "상의"}
# Attribute keys of the taxonomy, in the order in which a released label lists them.
LABELS = {
    "length": "기장",
    "color": "색상",
    "sub_color": "서브색상",
    "category": "카테고리",
    "collar": "옷깃",
    "detail": "디테일",
    "sleeve": "소매기장",
    "material": "소재",
    "print": "프린트",
    "neckline": "넥라인",
    "fit": "핏",
}
NOT_ON_BOTTOMS = frozenset(("collar", "sleeve", "neckline"))
# A second colour is spoken of in the words of the first.
VOCABULARY_OF = {"sub_color": "color"}
STYLE_KEYS = ("스타일", "서브스타일")
NO_STYLE_FOLDER = "기타"
SPLIT_FOLDERS = {Split.TRAIN: "Training", Split.VALIDATION: "Validation", Split.TEST: "Test"}

UNSAFE = re.compile(r'[<>:"/\\|?*]')
INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
WINDOWS_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])$", re.IGNORECASE)
# What is safe wherever it stands, unless a device is called so.
PLAIN = re.compile(r"[A-Za-z0-9_-]+")
STEM_BYTES = 120
# Names that are made safe come again: styles for ever, a file's for each of the places it stands in.
RECENT = 256
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class Layout(StrEnum):
    """The guideline's folders (style, work number) or those of the public release (split, style)."""

    GUIDELINE = "guideline"
    RELEASE = "release"


class Released(Protocol):
    """The released word for a value (None: there is none), and how it was come by."""

    @property
    def ko(self) -> str | None:
        """The Korean word."""
        ...

    @property
    def how(self) -> str:
        """Whether it is the very word, a near one, or left out."""
        ...


class Vocabulary(Protocol):
    """What this format asks of a taxonomy."""

    def released_value(self, attribute_key: str, part_key: str, value_key: str) -> Released:
        """The word for a value on a part."""
        ...

    def released_style(self, style_key: str, /) -> Released:
        """The word for a style."""
        ...


class Written(NamedTuple):
    """One value as it was written: its key, the released word (None: left out), and how it was come by."""

    attribute: str
    part: str | None
    key: str
    ko: str | None
    how: str


def document(record: ReleasedImage, vocabulary: Vocabulary) -> Json:
    """The JSON object of one image, in the released order; parts the format does not know are left out."""
    name = safe_file_name(record.file_name)
    return {
        "이미지 정보": {
            "이미지 식별자": record.id,
            "이미지 높이": record.height,
            "이미지 파일명": name,
            "이미지 너비": record.width,
        },
        "데이터셋 정보": {
            "파일 생성일자": record.created_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
            "데이터셋 상세설명": {
                "렉트좌표": _by_part(record, lambda region: [rect(ring) for ring in region["rings"]]),
                "폴리곤좌표": _by_part(record, lambda region: [_polygon(ring) for ring in region["rings"]]),
                "라벨링": {
                    "스타일": [_styles(record, vocabulary)],
                    **_by_part(record, lambda region: [_label(record, region, vocabulary)]),
                },
            },
            "파일 번호": record.id,
            "파일 이름": name,
        },
    }


def encode(form: Mapping[str, Any]) -> bytes:
    """The file's bytes: compact UTF-8 without a byte-order mark."""
    return _ENCODER.encode(form).encode()


def paths(
    record: ReleasedImage, layout: Layout, vocabulary: Vocabulary
) -> tuple[PurePosixPath, PurePosixPath]:
    """Where the image and its JSON go, relative to the export's folder."""
    style = style_folder(record, vocabulary)
    if layout is Layout.RELEASE:
        folder = PurePosixPath(SPLIT_FOLDERS[record.split], style)
        return folder / f"{record.id}.jpg", folder / f"{record.id}.json"
    folder = PurePosixPath(style, str(record.id))
    return folder / safe_file_name(record.file_name), folder / f"{record.id}.json"


def style_folder(record: ReleasedImage, vocabulary: Vocabulary) -> str:
    """The main style's Korean name made safe; 기타 for an image without a style that was released."""
    released = _released_styles(record, vocabulary)
    return _safe(released[0]) if released else NO_STYLE_FOLDER


@lru_cache(RECENT)
def safe_file_name(name: str) -> str:
    """The last part of a name as every file system takes it: NFC, visible, not reserved, always .jpg."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    stem, dot, suffix = last.rpartition(".")
    stem = _safe(stem if dot and stem and len(suffix) <= 4 else last)
    return stem.encode()[:STEM_BYTES].decode(errors="ignore").rstrip(". ") + ".jpg"


def written_values(record: ReleasedImage, vocabulary: Vocabulary) -> Iterator[Written]:
    """Each value of the record and the word it was written as, for the export's account of changes."""
    for region in record.regions:
        part = region["part"]
        labels = record.attributes.get(region["id"], {})
        for attribute, value in labels.items():
            for key in _keys(value):
                if part not in PARTS or attribute not in _label_keys(part):
                    yield Written(attribute, part, key, None, "no place in this format")
                else:
                    word = _word(vocabulary, attribute, part, key)
                    yield Written(attribute, part, key, word.ko, word.how)
    for place, style in enumerate(record.styles):
        word = vocabulary.released_style(style)
        if place < len(STYLE_KEYS):
            yield Written("style", None, style, word.ko, word.how)
        else:
            yield Written("style", None, style, None, "only two styles have a place in this format")


def _by_part(
    record: ReleasedImage, entries: Callable[[Mapping[str, Any]], list[Json]]
) -> dict[str, list[Json]]:
    """Lists the entries of each part's regions; an absent part is one empty object."""
    return {
        ko: [entry for region in record.regions if region["part"] == part for entry in entries(region)]
        or [{}]
        for part, ko in PARTS.items()
    }


def rect(ring: Sequence[Sequence[float]]) -> Json:
    """The rectangle of an outline, by the rule of the released files."""
    across, down = zip(*ring, strict=True)
    left, top = float(min(across)), float(min(down))
    return {
        "X좌표": left - 0.5,
        "Y좌표": top - 0.5,
        "가로": int(max(across) - left),
        "세로": int(max(down) - top),
    }


def _polygon(ring: Sequence[Sequence[float]]) -> Json:
    keys = _point_keys(len(ring).bit_length())
    return dict(zip(keys, map(float, chain.from_iterable(ring)), strict=False))


@cache
def _point_keys(bits: int) -> Sequence[str]:
    """The keys of as many points as a number of so many bits can count."""
    return [f"{axis}좌표{number}" for number in range(1, 1 << bits) for axis in "XY"]


def _released_styles(record: ReleasedImage, vocabulary: Vocabulary) -> list[str]:
    words = (vocabulary.released_style(style).ko for style in record.styles[: len(STYLE_KEYS)])
    return list(dict.fromkeys(word for word in words if word))


def _styles(record: ReleasedImage, vocabulary: Vocabulary) -> Json:
    return dict(zip(STYLE_KEYS, _released_styles(record, vocabulary), strict=False))


@cache
def _label_keys(part: str) -> Sequence[str]:
    return [key for key in LABELS if part != "bottom" or key not in NOT_ON_BOTTOMS]


def _label(record: ReleasedImage, region: Mapping[str, Any], vocabulary: Vocabulary) -> Json:
    given = record.attributes.get(region["id"], {})
    part = region["part"]
    label: Json = {}
    for attribute in _label_keys(part):
        value = given.get(attribute)
        known: str | list[str] | None = None
        if isinstance(value, list):
            words = [_word(vocabulary, attribute, part, key).ko for key in value]
            # Two values may share a released word; it is written once.
            known = list(dict.fromkeys(word for word in words if word))
        elif value:
            known = _word(vocabulary, attribute, part, value).ko
        # What has no released word is left out, key and all.
        if known:
            label[LABELS[attribute]] = known
    return label


def _keys(value: str | list[str] | None) -> list[str]:
    if not value:
        return []
    return value if isinstance(value, list) else [value]


def _word(vocabulary: Vocabulary, attribute: str, part: str, key: str) -> Released:
    return vocabulary.released_value(VOCABULARY_OF.get(attribute, attribute), part, key)


@lru_cache(RECENT)
def _safe(name: str) -> str:
    if PLAIN.fullmatch(name) and not WINDOWS_DEVICES.match(name):
        return name
    visible = "".join(" " if unicodedata.category(c) in INVISIBLE else c for c in name)
    name = " ".join(UNSAFE.sub("_", visible).split()).strip(". ") or "image"
    return f"_{name}" if WINDOWS_DEVICES.match(name.split(".")[0].strip()) else name
