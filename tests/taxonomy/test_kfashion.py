"""The shipped taxonomy against the counts and spellings of the guideline and of released files."""

from collections import Counter

import pytest

from crowd.taxonomy import Faulted, Match, Released, Taxonomy, load_taxonomy

# attribute -> (values of the guideline's table, values only in its annex or in released files)
TABLES = {
    "category": (
        16,
        {"t-shirts", "bra-tops", "hoodies", "leggings", "jogger-pants", "cardigans", "zip-ups"},
    ),
    "color": (20, {"silver"}),
    "detail": (40, {"zipper", "single-breasted", "string", "lace"}),
    "print": (18, {"heart", "mix", "snakeskin"}),
    "material": (25, {"woven", "padding", "hair-knit"}),
    "sleeve": (5, {"none"}),
    "neckline": (12, set()),
    "collar": (10, set()),
    "fit": (6, {"bell-bottom"}),
    "shape": (11, set()),
    "silhouette": (5, set()),
}

ANNEX_CATEGORIES = {
    "top": "탑 블라우스 티셔츠 니트웨어 셔츠 브라탑 후드티",
    "bottom": "청바지 팬츠 스커트 래깅스 조거팬츠",
    "outer": "코트 재킷 점퍼 패딩 베스트 가디건 짚업",
    "dress": "드레스 점프수트",
}

LENGTHS = {
    "top": "크롭 노멀 롱",
    "bottom": "미니 니렝스 미디 발목 맥시",
    "outer": "크롭 노멀 하프 롱 맥시",
    "dress": "미니 니렝스 미디 발목 맥시",
}

RELEASED_DETAILS = (
    "스터드 드롭숄더 드롭웨이스트 레이스업 슬릿 프릴 단추 퀄팅 스팽글 롤업 니트꽈베기 체인 프린지 지퍼 태슬 "
    "띠 플레어 싱글브레스티드 더블브레스티드 스트링 자수 폼폼 디스트로이드 페플럼 X스트랩 스티치 레이스 퍼프 "
    "비즈 컷아웃 버클 포켓 러플 글리터 퍼트리밍 플리츠 비대칭 셔링 패치워크 리본"
)

SHARES = {
    "스트리트": 48.07,
    "리조트": 16.81,
    "페미닌": 16.01,
    "로맨틱": 14.91,
    "모던": 12.52,
    "클래식": 7.07,
    "소피스트케이티드": 6.72,
    "컨트리": 6.69,
    "젠더리스": 3.49,
    "히피": 2.76,
    "스포티": 2.32,
    "톰보이": 1.86,
    "섹시": 1.60,
    "매니시": 1.38,
    "레트로": 1.25,
    "오리엔탈": 1.09,
    "키치/키덜트": 0.98,
    "밀리터리": 0.97,
    "힙합": 0.51,
    "아방가르드": 0.46,
    "프레피": 0.37,
    "웨스턴": 0.27,
    "펑크": 0.16,
}


@pytest.fixture(scope="module")
def kfashion() -> Taxonomy:
    return load_taxonomy()


def released(taxonomy: Taxonomy, attribute: str, part: str, *, how: Match = Match.EXACT) -> list[str | None]:
    asked = taxonomy.attribute(attribute)
    assert asked is not None
    found = [taxonomy.released_value(attribute, part, value.key) for value in asked.values_for(part)]
    return [spelling.ko for spelling in found if spelling.how is how]


@pytest.mark.parametrize("key", TABLES)
def test_every_row_of_the_guideline_and_of_released_files_is_a_value(kfashion: Taxonomy, key: str) -> None:
    rows, extra = TABLES[key]
    attribute = kfashion.attribute(key)
    assert attribute is not None
    keys = {value.key for value in attribute.values}
    assert extra <= keys
    assert len(keys - extra) == rows


def test_the_tables_hold_168_values_and_186_with_lengths_by_part(kfashion: Taxonomy) -> None:
    length = kfashion.attribute("length")
    assert length is not None
    in_tables = sum(rows for rows, _ in TABLES.values())
    assert in_tables == 168
    assert in_tables + sum(len(length.values_for(part.key)) for part in kfashion.parts) == 186


@pytest.mark.parametrize("part", ANNEX_CATEGORIES)
def test_categories_of_a_part_are_written_as_in_released_files(kfashion: Taxonomy, part: str) -> None:
    assert set(released(kfashion, "category", part)) == set(ANNEX_CATEGORIES[part].split())


@pytest.mark.parametrize("part", LENGTHS)
def test_lengths_follow_the_part(kfashion: Taxonomy, part: str) -> None:
    assert released(kfashion, "length", part) == LENGTHS[part].split()


def test_details_are_written_with_the_spelling_of_released_files(kfashion: Taxonomy) -> None:
    assert sorted(map(str, released(kfashion, "detail", "top"))) == sorted(RELEASED_DETAILS.split())


@pytest.mark.parametrize(
    ("attribute", "count"),
    [
        ("color", 21),
        ("sub_color", 21),
        ("print", 21),
        ("material", 25),
        ("sleeve", 6),
        ("neckline", 12),
        ("collar", 9),
        ("shape", 0),
        ("silhouette", 0),
        ("item", 0),
    ],
)
def test_released_words_are_as_many_as_in_released_files(
    kfashion: Taxonomy, attribute: str, count: int
) -> None:
    assert len(released(kfashion, attribute, "dress")) == count


@pytest.mark.parametrize(
    ("attribute", "part", "value", "expected"),
    [
        ("category", "bottom", "leggings", Released("래깅스", Match.EXACT)),
        ("category", "top", "casual-tops", Released("티셔츠", Match.NEAREST)),
        ("category", "dress", "swimwear", Released(None, Match.OMITTED)),
        ("detail", "outer", "quilting", Released("퀄팅", Match.EXACT)),
        ("detail", "outer", "zip-up", Released("지퍼", Match.NEAREST)),
        ("detail", "outer", "hood", Released(None, Match.OMITTED)),
        ("material", "top", "cotton", Released("우븐", Match.NEAREST)),
        ("material", "top", "angora", Released("헤어 니트", Match.NEAREST)),
        ("neckline", "top", "one-shoulder", Released("원숄더", Match.EXACT)),
        ("collar", "outer", "notched-collar", Released("테일러드칼라", Match.NEAREST)),
        ("fit", "bottom", "bell-bottom", Released("벨보텀", Match.EXACT)),
        ("shape", "bottom", "a-line", Released(None, Match.OMITTED)),
        ("item", "outer", "trench-coat", Released(None, Match.OMITTED)),
        # Known elsewhere, but not to be had for this part.
        ("category", "top", "leggings", Released(None, Match.OMITTED)),
        ("neckline", "bottom", "v-neck", Released(None, Match.OMITTED)),
        ("color", "top", "no-such-value", Released(None, Match.OMITTED)),
        ("no-such-attribute", "top", "black", Released(None, Match.OMITTED)),
    ],
)
def test_what_kfashion_json_says_for_a_value(
    kfashion: Taxonomy, attribute: str, part: str, value: str, expected: Released
) -> None:
    assert kfashion.released_value(attribute, part, value) == expected


def test_bottoms_are_not_asked_for_collar_neckline_or_sleeve(kfashion: Taxonomy) -> None:
    asked = {attribute.key for attribute in kfashion.attributes_for("bottom")}
    assert not asked & {"collar", "neckline", "sleeve", "silhouette"}
    assert {"category", "color", "sub_color", "detail", "print", "material", "length", "fit"} <= asked


def test_json_keys_are_those_of_released_files(kfashion: Taxonomy) -> None:
    keys = {attribute.key: attribute.released for attribute in kfashion.attributes}
    assert keys == {
        "category": "카테고리",
        "color": "색상",
        "sub_color": "서브색상",
        "detail": "디테일",
        "print": "프린트",
        "material": "소재",
        "length": "기장",
        "sleeve": "소매기장",
        "neckline": "넥라인",
        "collar": "옷깃",
        "fit": "핏",
        "shape": None,
        "silhouette": None,
        "item": None,
    }


def test_only_detail_print_and_material_take_several_values(kfashion: Taxonomy) -> None:
    several = {attribute.key for attribute in kfashion.attributes if attribute.multiple}
    assert several == {"detail", "print", "material"}


def test_parts_have_the_guidelines_numbers_and_the_order_of_the_json(kfashion: Taxonomy) -> None:
    numbers = {part.key: part.rect_no for part in kfashion.parts}
    assert numbers == {"outer": 1, "top": 2, "bottom": 3, "dress": 4}
    assert [part.released for part in kfashion.released_parts()] == ["아우터", "하의", "원피스", "상의"]
    assert kfashion.speaks_kfashion


def test_23_styles_in_10_groups_with_the_shares_of_the_distribution_table(kfashion: Taxonomy) -> None:
    assert {style.ko: style.percent for style in kfashion.styles} == SHARES
    assert len(kfashion.style_groups) == 10
    sizes = Counter(style.group for style in kfashion.styles)
    assert sizes == {
        "traditional": 2,
        "mannish": 2,
        "feminine": 3,
        "ethnic": 3,
        "contemporary": 3,
        "natural": 2,
        "gender-fluid": 1,
        "sporty": 1,
        "subculture": 4,
        "casual": 2,
    }


@pytest.mark.parametrize(
    ("key", "ko"), [("hip-hop", "힙합"), ("kitsch/kidult", "키치/키덜트"), ("avant-garde", "아방가르드")]
)
def test_style_keys_are_the_lower_cased_english_names(kfashion: Taxonomy, key: str, ko: str) -> None:
    assert kfashion.has_style(key)
    assert kfashion.released_style(key) == Released(ko, Match.EXACT)
    assert all(style.key == style.en.lower() for style in kfashion.styles)


def test_a_style_it_does_not_know_is_left_out(kfashion: Taxonomy) -> None:
    assert not kfashion.has_style("glamorous")
    assert kfashion.released_style("glamorous") == Released(None, Match.OMITTED)


@pytest.mark.parametrize(
    ("attribute", "part", "text", "key"),
    [
        ("length", "top", "노말", "normal"),
        ("category", "bottom", "래깅스", "leggings"),
        ("category", "bottom", "레깅스", "leggings"),
        ("detail", "top", "니트꽈베기", "cable"),
        ("print", "top", "하운즈투스", "houndstooth"),
        ("neckline", "top", "원 숄더", "one-shoulder"),
    ],
)
def test_spellings_met_in_released_files_are_understood(
    kfashion: Taxonomy, attribute: str, part: str, text: str, key: str
) -> None:
    asked = kfashion.attribute(attribute)
    assert asked is not None
    value = asked.spelled(text, part)
    assert value is not None
    assert value.key == key


def test_no_spelling_means_two_values_of_one_attribute(kfashion: Taxonomy) -> None:
    for attribute in kfashion.attributes:
        spellings = [
            text for value in attribute.values for text in {value.ko, value.released, *value.aliases}
        ]
        repeated = {text for text, count in Counter(spellings).items() if count > 1 and text is not None}
        assert not repeated, attribute.key


def test_the_guidelines_three_reasons_fit_every_stage(kfashion: Taxonomy) -> None:
    reasons = {reason.code: reason for reason in kfashion.reasons}
    for code, ko in [("wrong_entry", "오기"), ("blanket", "일괄표기"), ("missing", "미표기")]:
        assert reasons[code].ko == ko
        assert reasons[code].stages == tuple(Faulted)
        assert kfashion.has_reason(code)
    assert reasons["bad_outline"].stages == (Faulted.SEGMENTATION,)


def test_the_contracts_unusable_codes_are_there(kfashion: Taxonomy) -> None:
    codes = "not_fashion illustration watermark collage cut_off overlap product_overlap not_worn"
    assert all(kfashion.has_unusable(code) for code in codes.split())
    assert not kfashion.has_unusable("wrong_entry")


def test_the_public_form_tells_clients_what_fits_which_part(kfashion: Taxonomy) -> None:
    public = kfashion.public()
    attributes = {attribute["key"]: attribute for attribute in public["attributes"]}
    assert public["digest"] == kfashion.digest
    assert public["parts"][0] == {"key": "outer", "en": "Outer", "ko": "아우터"}
    assert attributes["length"]["values_by_part"]["top"] == ["crop", "normal", "long"]
    assert "bottom" not in attributes["collar"]["values_by_part"]
    assert attributes["sub_color"]["values"] == attributes["color"]["values"]
    assert attributes["detail"]["multiple"] is True
    assert {style["group"] for style in public["styles"]} == {
        group["key"] for group in public["style_groups"]
    }
    assert public["reasons"][0]["stages"] == ["segmentation", "attributes", "styles", "first_review"]


def test_changing_the_public_form_or_the_document_leaves_the_taxonomy_alone(kfashion: Taxonomy) -> None:
    kfashion.public()["parts"].clear()
    kfashion.document["parts"].clear()
    assert len(kfashion.public()["parts"]) == len(kfashion.document["parts"]) == 4
