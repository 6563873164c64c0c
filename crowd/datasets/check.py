"""An outside look at a K-Fashion export: reads the folder as its users do, says what does not hold.

It shares no code with the writer, so that one mistake cannot be in both.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from crowd.core.ondisk import DiskMap, files_below

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, SyntaxError)


def _words(text: str) -> set[str]:
    return set(text.split())


PARTS = ["아우터", "하의", "원피스", "상의"]
TOP_KEYS = ["이미지 정보", "데이터셋 정보"]
IMAGE_KEYS = ["이미지 식별자", "이미지 높이", "이미지 파일명", "이미지 너비"]
DATASET_KEYS = ["파일 생성일자", "데이터셋 상세설명", "파일 번호", "파일 이름"]
DETAIL_KEYS = ["렉트좌표", "폴리곤좌표", "라벨링"]
RECT_KEYS = ["X좌표", "Y좌표", "가로", "세로"]
LABEL_KEYS = ["기장", "색상", "서브색상", "카테고리", "옷깃", "디테일"]
LABEL_KEYS += ["소매기장", "소재", "프린트", "넥라인", "핏"]
LISTS = {"디테일", "소재", "프린트"}
NOT_ON_BOTTOMS = {"옷깃", "소매기장", "넥라인"}
SPLITS = {"Training", "Validation", "Test"}
POINT_KEY = re.compile(r"([XY])좌표([1-9][0-9]*)")
CREATED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
STYLES = _words(
    "클래식 프레피 매니시 톰보이 페미닌 로맨틱 섹시 히피 웨스턴 오리엔탈 모던 소피스트케이티드 "
    "아방가르드 컨트리 리조트 젠더리스 스포티 레트로 키치/키덜트 힙합 펑크 밀리터리 스트리트"
)

# The words that public readers of the released files accept; 카테고리 and 기장 differ by part.
COLORS = _words(
    "블랙 화이트 그레이 레드 핑크 오렌지 베이지 브라운 옐로우 그린 카키 민트 블루 네이비 "
    "스카이블루 퍼플 라벤더 와인 네온 골드 실버"
)
CATEGORIES = {
    "상의": _words("탑 블라우스 티셔츠 니트웨어 셔츠 브라탑 후드티"),
    "하의": _words("청바지 팬츠 스커트 래깅스 조거팬츠"),
    "아우터": _words("코트 재킷 점퍼 패딩 베스트 가디건 짚업"),
    "원피스": _words("드레스 점프수트"),
}
VALUES = {
    "색상": COLORS,
    "서브색상": COLORS,
    "기장": _words("노멀 노말 니렝스 롱 맥시 미니 미디 발목 크롭 하프"),
    "옷깃": _words(
        "피터팬칼라 셔츠칼라 보우칼라 폴로칼라 세일러칼라 테일러드칼라 밴드칼라 차이나칼라 숄칼라"
    ),
    "디테일": _words(
        "스터드 드롭숄더 드롭웨이스트 레이스업 슬릿 프릴 단추 퀄팅 스팽글 롤업 니트꽈베기 체인 프린지 "
        "지퍼 태슬 띠 플레어 싱글브레스티드 더블브레스티드 스트링 자수 폼폼 디스트로이드 페플럼 "
        "X스트랩 스티치 레이스 퍼프 비즈 컷아웃 버클 포켓 러플 글리터 퍼트리밍 플리츠 비대칭 셔링 "
        "패치워크 리본"
    ),
    "소매기장": _words("민소매 반팔 캡 7부소매 긴팔 없음"),
    "소재": _words(
        "우븐 울/캐시미어 니트 저지 데님 트위드 린넨 시폰 퍼 실크 자카드 가죽 스판덱스 플리스 "
        "코듀로이 패딩 레이스 스웨이드 벨벳 네오프렌 메시 무스탕 비닐/PVC 시퀸/글리터"
    )
    | {"헤어 니트"},
    "프린트": _words(
        "체크 스트라이프 지그재그 호피 지브라 도트 카무플라쥬 페이즐리 아가일 플로럴 레터링 해골 "
        "타이다이 그라데이션 무지 그래픽 깅엄 하트 믹스 뱀피"
    )
    | {"하운즈 투스"},
    "넥라인": _words(
        "라운드넥 유넥 브이넥 홀터넥 오프숄더 원숄더 스퀘어넥 노카라 후드 터틀넥 보트넥 스위트하트"
    ),
    "핏": _words("노멀 루즈 오버사이즈 스키니 와이드 타이트 벨보텀"),
}


@dataclass(slots=True)
class CheckReport:
    """How many images were read, and a sentence for each thing that does not hold (none: it is sound)."""

    images: int = 0
    problems: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def note(self, kind: str, text: str) -> None:
        """Something of that kind does not hold."""
        self.problems.append(text)
        self.kinds[kind] += 1


def check_export(folder: Path, *, styles: Collection[str] = STYLES) -> CheckReport:
    """Reads every JSON file below `folder` with its image; `styles` are the Korean names that may occur."""
    report = CheckReport()
    # By where it lies: images of which a JSON tells; by number: the JSON with it.
    with DiskMap() as claimed, DiskMap() as numbers:
        for where in files_below(folder):
            path = folder / where
            if path.suffix != ".json" or not path.stem.isdigit():
                continue
            if not numbers.add(path.stem, where):
                text = f"{where}: number {path.stem} is also {numbers.get(path.stem)}"
                report.note("consistency", text)
            try:
                image, problems = _check_pair(folder, path, styles)
            except UNREADABLE as error:
                report.note("form", f"{where}: cannot be read: {type(error).__name__}: {error}")
                continue
            claimed.add(os.fsencode(image))
            report.images += 1
            for problem in problems:
                report.note(_kind(problem), f"{where}: {problem}")
        for where in files_below(folder):
            if where.endswith(".jpg") and os.fsencode(folder / where) not in claimed:
                report.note("completeness", f"{where}: an image that no JSON tells of")
        if not len(numbers):
            report.note("completeness", "there is no JSON file")
    return report


# By what a sentence holds; whatever holds none of these is about the form.
_KINDS = {
    "range": ("unknown", "is no released value", "leaves the image"),
    "completeness": ("no garment", "without a polygon"),
    "consistency": (
        "differ",
        "follow",
        "is labelled",
        "the image is (",
        "twice",
        "has no place",
        "labels for",
    ),
}


def _kind(problem: str) -> str:
    return next((kind for kind, marks in _KINDS.items() if any(mark in problem for mark in marks)), "form")


def _check_pair(folder: Path, path: Path, styles: Collection[str]) -> tuple[Path, list[str]]:
    raw = path.read_bytes()
    form = json.loads(raw.decode("utf-8"))
    info, dataset = form["이미지 정보"], form["데이터셋 정보"]
    in_release = path.relative_to(folder).parts[0] in SPLITS
    image = path.with_suffix(".jpg") if in_release else path.parent / info["이미지 파일명"]
    problems = [
        *_check_heads(path, form, in_release),
        *_check_image(image, info),
        *_check_detail(dataset["데이터셋 상세설명"], info, styles),
    ]
    labelled = dataset["데이터셋 상세설명"]["라벨링"]["스타일"][0].get("스타일", "기타")
    style_folder = path.parent.name if in_release else path.parent.parent.name
    if style_folder != labelled.replace("/", "_"):
        problems.append(f"lies under {style_folder} but is labelled {labelled}")
    if raw != json.dumps(form, ensure_ascii=False, separators=(",", ":")).encode():
        problems.append("is not compact UTF-8")
    return image, problems


def _check_heads(path: Path, form: Mapping[str, Any], in_release: bool) -> Iterator[str]:
    info, dataset = form["이미지 정보"], form["데이터셋 정보"]
    for name, keys, expected in (
        ("the file", form, TOP_KEYS),
        ("이미지 정보", info, IMAGE_KEYS),
        ("데이터셋 정보", dataset, DATASET_KEYS),
        ("데이터셋 상세설명", dataset["데이터셋 상세설명"], DETAIL_KEYS),
    ):
        if list(keys) != expected:
            yield f"keys of {name} are {list(keys)}, not {expected}"
    if not info["이미지 식별자"] == dataset["파일 번호"] == int(path.stem):
        yield f"numbers differ: {info['이미지 식별자']}, {dataset['파일 번호']}, {path.stem}"
    if not in_release and path.parent.name != path.stem:
        yield f"lies in folder {path.parent.name}"
    if info["이미지 파일명"] != dataset["파일 이름"]:
        yield "names the image twice and differently"
    if not CREATED.fullmatch(dataset["파일 생성일자"]):
        yield f"was created at {dataset['파일 생성일자']!r}"


def _check_image(path: Path, info: Mapping[str, Any]) -> Iterator[str]:
    with Image.open(path) as image:
        image.load()
        if image.format != "JPEG":
            yield f"the image is {image.format}"
        if carried := {"exif", "xmp", "photoshop"} & {str(name) for name in image.info}:
            yield f"the image carries {', '.join(sorted(carried))}"
        if image.size != (info["이미지 너비"], info["이미지 높이"]):
            yield f"the image is {image.size}, not {(info['이미지 너비'], info['이미지 높이'])}"


def _check_detail(
    detail: Mapping[str, Any], info: Mapping[str, Any], styles: Collection[str]
) -> Iterator[str]:
    rects, polygons, labels = (detail[key] for key in DETAIL_KEYS)
    for name, parts, expected in (
        ("렉트좌표", rects, PARTS),
        ("폴리곤좌표", polygons, PARTS),
        ("라벨링", labels, ["스타일", *PARTS]),
    ):
        if list(parts) != expected:
            yield f"{name} has {list(parts)}, not {expected}"
    if all(polygons[part] == [{}] for part in PARTS):
        yield "no garment at all"
    yield from _check_styles(labels["스타일"], styles)
    for part in PARTS:
        yield from (f"{part}: {text}" for text in _check_shapes(rects[part], polygons[part], info))
        if polygons[part] == [{}] and labels[part] != [{}]:
            yield f"{part}: labels without a polygon"
        if len(labels[part]) > len(polygons[part]):
            yield f"{part}: {len(labels[part])} labels for {len(polygons[part])} polygons"
        for label in labels[part]:
            yield from (f"{part}: {text}" for text in _check_label(part, label))


def _check_styles(entries: list[dict[str, str]], styles: Collection[str]) -> Iterator[str]:
    if len(entries) != 1 or list(entries[0]) not in ([], ["스타일"], ["스타일", "서브스타일"]):
        yield f"스타일 is {entries}"
        return
    for style in entries[0].values():
        if style not in styles:
            yield f"unknown style {style}"
    if len(set(entries[0].values())) < len(entries[0]):
        yield "the same style twice"


def read_polygon(entry: Mapping[str, float]) -> list[tuple[float, float]]:
    """The points of a polygon entry, keys sorted as numbers; raises ValueError if an axis lacks a point."""
    axes: dict[str, dict[int, float]] = {"X": {}, "Y": {}}
    for key, value in entry.items():
        match = POINT_KEY.fullmatch(key)
        if not match:
            raise ValueError(f"polygon key {key}")
        axes[match[1]][int(match[2])] = value
    if axes["X"].keys() != axes["Y"].keys() or sorted(axes["X"]) != list(range(1, len(axes["X"]) + 1)):
        raise ValueError("polygon points are not numbered from 1 on both axes")
    return [(axes["X"][number], axes["Y"][number]) for number in sorted(axes["X"])]


def _check_shapes(
    rects: list[dict[str, float]], polygons: list[dict[str, float]], info: Mapping[str, Any]
) -> Iterator[str]:
    if len(rects) != len(polygons) or not rects:
        yield f"{len(rects)} rects for {len(polygons)} polygons"
    for rect, polygon in zip(rects, polygons, strict=False):
        if not rect and not polygon and len(rects) == 1:
            continue
        points = read_polygon(polygon)
        if len(points) < 3:
            yield f"a polygon of {len(points)} points"
            continue
        across, down = [x for x, _ in points], [y for _, y in points]
        expected = (
            min(across) - 0.5,
            min(down) - 0.5,
            int(max(across) - min(across)),
            int(max(down) - min(down)),
        )
        if list(rect) != RECT_KEYS or tuple(rect.values()) != expected:
            yield f"rect {rect} does not follow its polygon, which gives {expected}"
        if (
            min(across) < 0
            or min(down) < 0
            or max(across) > info["이미지 너비"]
            or max(down) > info["이미지 높이"]
        ):
            yield "a polygon leaves the image"


def _check_label(part: str, label: Mapping[str, Any]) -> Iterator[str]:
    if list(label) != [key for key in LABEL_KEYS if key in label]:
        yield f"label keys {list(label)} are out of order or unknown"
    for key, value in label.items():
        if part == "하의" and key in NOT_ON_BOTTOMS:
            yield f"{key} has no place here"
        if isinstance(value, list) != (key in LISTS) or not value:
            yield f"{key} is {value!r}"
            continue
        known = CATEGORIES[part] if key == "카테고리" else VALUES.get(key, set())
        for word in value if isinstance(value, list) else [value]:
            if word not in known:
                yield f"{key} {word} is no released value"
