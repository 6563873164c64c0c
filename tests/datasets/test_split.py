"""The 80:10:10 split, without a database."""

import random
from collections import Counter

import pytest

from crowd.datasets.records import Split
from crowd.datasets.split import look_of, split_looks


def test_pictures_of_one_look_share_it_whatever_their_case_and_suffix() -> None:
    looks = {look_of(1, "SHOP_012_01.jpg"), look_of(2, "shop_012_07.JPEG"), look_of(3, "shop_012_11.png")}
    assert len(looks) == 1


@pytest.mark.parametrize("name", ["SHOP_013_01.jpg", "OTHER_012_01.jpg", "dress.jpg", "SHOP_012.jpg"])
def test_pictures_of_other_looks_do_not(name: str) -> None:
    assert look_of(2, name) != look_of(1, "SHOP_012_01.jpg")


def test_images_without_a_numbered_name_are_looks_of_their_own() -> None:
    assert look_of(1, "dress.jpg") != look_of(2, "dress.jpg")


def test_a_hundred_looks_are_divided_exactly() -> None:
    shares = split_looks([(look, "street") for look in range(100)])
    assert Counter(shares.values()) == {Split.TRAIN: 80, Split.VALIDATION: 10, Split.TEST: 10}


def test_every_style_is_divided_by_itself() -> None:
    images = [(look, "street" if look % 2 else "resort") for look in range(200)]
    shares = split_looks(images)
    for style in ("street", "resort"):
        counts = Counter(shares[look] for look, own in images if own == style)
        assert counts == {Split.TRAIN: 80, Split.VALIDATION: 10, Split.TEST: 10}


def test_what_small_styles_leave_over_adds_up_to_the_right_whole() -> None:
    shares = split_looks([(look, f"style {look // 4}") for look in range(100)])
    assert Counter(shares.values()) == {Split.TRAIN: 80, Split.VALIDATION: 10, Split.TEST: 10}


def test_large_looks_stay_whole_and_the_shares_near() -> None:
    rng = random.Random(5)
    sizes = {look: rng.randint(1, 12) for look in range(400)}
    images = [(look, rng.choice(["street", "resort"])) for look, size in sizes.items() for _ in range(size)]
    shares = split_looks(images)
    counts = Counter(shares[look] for look, _ in images)
    total = len(images)
    assert abs(counts[Split.TRAIN] - 0.8 * total) <= 12
    assert abs(counts[Split.VALIDATION] - 0.1 * total) <= 12
    assert abs(counts[Split.TEST] - 0.1 * total) <= 12


def test_the_order_of_looks_does_not_matter() -> None:
    images = [(look_of(number, "x.jpg"), f"style {number % 3}") for number in range(50)]
    shuffled = list(images)
    random.Random(1).shuffle(shuffled)
    assert split_looks(images) == split_looks(shuffled)


def test_a_single_image_is_trained_on() -> None:
    assert split_looks([(7, None)]) == {7: Split.TRAIN}


def test_two_suppliers_that_number_alike_have_two_looks() -> None:
    assert look_of(1, "IMG_1_01.jpg", 1) == look_of(2, "IMG_1_02.jpg", 1)
    assert look_of(1, "IMG_1_01.jpg", 1) != look_of(2, "IMG_1_02.jpg", 2)
