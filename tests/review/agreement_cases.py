"""People's styles as sets and votes, by seed: what agreement and consensus are reckoned from in tests."""

import random
from collections import Counter

STYLES = ("classic", "country", "hippie", "military", "modern", "resort", "retro", "sporty", "street")
# A table: by image what each of some people named; not everybody saw every image.
Table = list[list[tuple[str, ...]]]


def pairs(count: int = 200) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Two people's styles, of all the ways in which two sets can lie."""
    chance = random.Random(11)
    return [(_named(chance, STYLES[:5]), _named(chance, STYLES[:5])) for _ in range(count)]


def tables() -> list[Table]:
    """Small and large tables, of people who agree more or less."""
    return [_table(random.Random(seed), images, noise) for seed, images, noise in _TABLES]


def votes(count: int = 120) -> list[list[tuple[str, ...]]]:
    """Three to five people's styles of an image, main style first; no style is named by just half of them."""
    chance = random.Random(23)
    found: list[list[tuple[str, ...]]] = []
    while len(found) < count:
        drawn = [_named(chance, STYLES[:4]) for _ in range(chance.choice((3, 4, 5)))]
        named = Counter(style for vote in drawn for style in vote)
        if all(2 * times != len(drawn) for times in named.values()):
            found.append(drawn)
    return found


def weighed(count: int = 60) -> list[tuple[list[str], list[float]]]:
    """Main styles that experts named, with how often each of them is right."""
    chance = random.Random(31)
    found = []
    for _ in range(count):
        number = chance.randint(1, 5)
        named = [chance.choice(STYLES[:4]) for _ in range(number)]
        found.append((named, [round(chance.uniform(0.3, 0.97), 3) for _ in range(number)]))
    return found


_TABLES = ((1, 12, 0.1), (2, 40, 0.3), (3, 40, 0.6), (4, 100, 0.45), (5, 30, 1.0))


def _table(chance: random.Random, images: int, noise: float) -> Table:
    rows = []
    for _ in range(images):
        true = _named(chance, STYLES)
        people = [true if chance.random() >= noise else _named(chance, STYLES) for _ in range(4)]
        rows.append([each for each in people if chance.random() >= 0.3])
    return [row for row in rows if len(row) > 1]


def _named(chance: random.Random, styles: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(chance.sample(styles, chance.randint(1, 3)))
