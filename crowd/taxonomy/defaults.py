"""The reasons and unusable codes of a taxonomy file that names none: those that fit any kind of image."""

from typing import Any

DEFAULTS: dict[str, list[dict[str, Any]]] = {
    "reasons": [
        {"code": "wrong_entry", "en": "Wrong entry", "ko": "오기"},
        {"code": "blanket", "en": "Same entry for everything", "ko": "일괄표기"},
        {"code": "missing", "en": "Entry missing", "ko": "미표기"},
        {
            "code": "bad_outline",
            "en": "Outline does not follow the object",
            "ko": "외곽선 부정확",
            "stages": ["segmentation"],
        },
        {
            "code": "wrong_part",
            "en": "Wrong part",
            "ko": "부위 오류",
            "stages": ["segmentation"],
        },
        {
            "code": "wrong_style",
            "en": "Wrong style",
            "ko": "스타일 오류",
            "stages": ["styles"],
        },
        {"code": "other", "en": "Something else (see the comment)", "ko": "기타"},
    ],
    "unusable": [
        {"code": "off_topic", "en": "Shows something else", "ko": "대상 아님"},
        {"code": "illustration", "en": "Drawing or pictogram", "ko": "일러스트"},
        {"code": "watermark", "en": "Watermark or printed text", "ko": "워터마크"},
        {"code": "collage", "en": "Collage of several pictures", "ko": "콜라주"},
        {"code": "cut_off", "en": "Cut off by the edge", "ko": "잘림"},
        {"code": "blurred", "en": "Too blurred or dark to judge", "ko": "식별 불가"},
    ],
}
