"""What drawn figures wear: colours, and which garments go with which style how often. Pure data and dice."""

import random
from dataclasses import dataclass, field
from typing import NamedTuple

RGB = tuple[int, int, int]

COLORS: dict[str, RGB] = {
    "black": (40, 40, 45),
    "white": (243, 242, 238),
    "grey": (150, 152, 156),
    "red": (188, 44, 50),
    "pink": (235, 164, 180),
    "orange": (222, 124, 58),
    "beige": (216, 197, 168),
    "brown": (118, 82, 60),
    "yellow": (235, 200, 92),
    "green": (56, 116, 84),
    "khaki": (124, 119, 82),
    "mint": (160, 212, 192),
    "blue": (58, 100, 176),
    "navy": (38, 48, 88),
    "skyblue": (150, 192, 226),
    "purple": (116, 78, 146),
    "lavender": (186, 170, 214),
    "wine": (110, 36, 54),
}


class Recipe(NamedTuple):
    """How a style dresses: its share as main style, how often a dress or outer, what to choose from."""

    share: float
    dress: float
    outer: float
    tops: str
    bottoms: str
    outers: str
    colors: str
    prints: str
    second: str


# Shares: street as in the guideline's distribution, the other counts spread over what is left of a hundred.
RECIPES = {
    "street": Recipe(
        47.0, 0.08, 0.4, "tops shirts knitwear", "jeans pants skirts", "jumpers jackets",
        "black white grey navy red blue khaki green",
        "solid solid stripe check", "genderless sporty retro modern",
    ),
    "resort": Recipe(
        8.9, 0.6, 0.1, "blouses tops", "skirts pants", "jackets",
        "white skyblue beige orange mint yellow pink", "floral stripe solid dot", "country feminine hippie",
    ),
    "feminine": Recipe(
        8.5, 0.4, 0.25, "blouses knitwear tops", "skirts", "coats jackets",
        "pink white beige lavender wine skyblue", "solid dot floral", "romantic modern sophisticated",
    ),
    "romantic": Recipe(
        7.9, 0.55, 0.15, "blouses", "skirts", "coats",
        "pink lavender white mint yellow purple", "floral dot solid", "feminine country",
    ),
    "modern": Recipe(
        6.6, 0.25, 0.5, "tops shirts knitwear", "pants skirts", "coats jackets",
        "black white grey navy beige", "solid solid solid stripe", "sophisticated classic mannish",
    ),
    "classic": Recipe(
        3.7, 0.2, 0.6, "shirts knitwear blouses", "pants skirts", "coats jackets",
        "navy beige brown grey wine white", "check stripe solid", "modern preppy",
    ),
    "sophisticated": Recipe(
        3.6, 0.4, 0.4, "blouses tops", "skirts pants", "coats jackets",
        "black grey skyblue navy wine white", "solid solid stripe", "modern feminine",
    ),
    "country": Recipe(
        3.5, 0.4, 0.3, "knitwear blouses shirts", "skirts jeans pants", "coats jackets",
        "beige khaki brown green orange white", "check floral solid", "resort hippie",
    ),
    "genderless": Recipe(
        1.8, 0.05, 0.5, "shirts tops knitwear", "pants jeans", "jumpers coats jackets",
        "black grey white navy khaki", "solid", "street modern",
    ),
    "hippie": Recipe(
        1.5, 0.5, 0.15, "blouses tops", "skirts jeans", "jackets",
        "orange beige wine red blue brown", "floral dot stripe", "resort country",
    ),
    "sporty": Recipe(
        1.2, 0.05, 0.5, "tops", "pants", "jumpers",
        "red blue green white black navy", "solid stripe", "street",
    ),
    "tomboy": Recipe(
        1.0, 0.0, 0.5, "tops shirts", "jeans pants", "jumpers jackets",
        "black brown green navy grey", "check stripe solid", "street genderless",
    ),
    "sexy": Recipe(
        0.9, 0.7, 0.05, "tops", "skirts", "jackets", "black red wine white", "solid", "feminine",
    ),
    "mannish": Recipe(
        0.7, 0.0, 0.7, "shirts", "pants", "coats jackets",
        "grey green brown black navy", "stripe solid", "modern",
    ),
    "retro": Recipe(
        0.7, 0.3, 0.3, "shirts knitwear", "pants skirts", "jackets",
        "orange yellow brown green red", "dot check stripe", "street",
    ),
    "oriental": Recipe(
        0.6, 0.6, 0.2, "blouses", "pants skirts", "jackets",
        "black red green purple", "floral solid", "modern",
    ),
    "kitsch/kidult": Recipe(
        0.5, 0.3, 0.3, "tops knitwear", "skirts jeans", "jumpers",
        "yellow purple orange red mint pink", "dot stripe check", "street",
    ),
    "military": Recipe(
        0.5, 0.05, 0.7, "tops shirts", "pants", "jumpers jackets",
        "khaki brown black beige", "solid", "street",
    ),
    "hip-hop": Recipe(
        0.3, 0.0, 0.5, "tops", "jeans pants", "jumpers", "black white red yellow", "solid", "street",
    ),
    "avant-garde": Recipe(
        0.25, 0.4, 0.5, "shirts tops", "skirts pants", "coats", "black white grey", "solid stripe", "modern",
    ),
    "preppy": Recipe(
        0.2, 0.2, 0.5, "shirts knitwear", "skirts pants", "jackets",
        "navy wine white green", "check stripe", "classic",
    ),
    "western": Recipe(
        0.15, 0.2, 0.3, "shirts", "jeans skirts", "jackets",
        "brown beige blue wine", "check solid", "country",
    ),
    "punk": Recipe(
        0.1, 0.05, 0.6, "tops shirts", "pants skirts", "jackets", "black red grey", "check solid", "street",
    ),
}  # fmt: skip

MATERIALS = {
    "tops": "jersey",
    "blouses": "chiffon silk",
    "shirts": "cotton linen",
    "knitwear": "knit",
    "jeans": "denim",
    "pants": "cotton wool/cashmere",
    "skirts": "cotton wool/cashmere",
    "dresses": "chiffon cotton linen",
    "jumpsuits": "cotton linen",
    "coats": "wool/cashmere",
    "jackets": "wool/cashmere cotton leather",
    "jumpers": "synthetic/polyester cotton",
}
SECOND_STYLE_SHARE = 0.48


@dataclass(slots=True)
class Garment:
    """One garment as it is drawn and as it is labelled; keys of the K-Fashion taxonomy."""

    part: str
    category: str
    color: str
    print: str
    material: str
    length: str
    fit: str = "normal"
    sub_color: str | None = None
    sleeve: str | None = None
    neckline: str | None = None
    collar: str | None = None
    detail: list[str] = field(default_factory=list)

    def labels(self) -> dict[str, object]:
        """The garment's attributes in the form of a result; what does not apply to its part is left out."""
        labels: dict[str, object] = {
            "category": self.category,
            "color": self.color,
            "sub_color": self.sub_color,
            "detail": list(self.detail),
            "print": [self.print],
            "material": [self.material],
            "length": self.length,
            "fit": self.fit,
        }
        if self.part != "bottom":
            labels |= {"sleeve": self.sleeve, "neckline": self.neckline, "collar": self.collar}
        return labels


@dataclass(slots=True)
class Outfit:
    """Garments from the inside out, and the styles they make, main style first."""

    garments: list[Garment]
    styles: list[str]


def dress_up(rng: random.Random) -> Outfit:
    """Throws a style by the long-tailed shares, then an outfit of that style."""
    style = rng.choices(list(RECIPES), [recipe.share for recipe in RECIPES.values()])[0]
    recipe = RECIPES[style]
    styles = [style]
    if rng.random() < SECOND_STYLE_SHARE:
        styles.append(_one(rng, recipe.second))
    if rng.random() < recipe.dress:
        garments = [_dress(rng, recipe)]
    else:
        bottom = _bottom(rng, recipe)
        garments = [bottom, _top(rng, recipe, bottom.color)]
    if rng.random() < recipe.outer:
        garments.append(_outer(rng, recipe, garments[-1].color))
    return Outfit(garments, styles)


def _one(rng: random.Random, words: str) -> str:
    return rng.choice(words.split())


def _cloth(rng: random.Random, recipe: Recipe, unlike: str = "") -> tuple[str, str, str | None]:
    """A colour other than its neighbour's, a print, and the print's second colour."""
    color = rng.choice([key for key in recipe.colors.split() if key != unlike])
    print_ = _one(rng, recipe.prints)
    if print_ == "solid":
        return color, print_, None
    light = sum(COLORS[color]) > 420
    return (
        color,
        print_,
        rng.choice(["navy", "wine", "brown", "green"] if light else ["white", "beige", "skyblue"]),
    )


def _top(rng: random.Random, recipe: Recipe, unlike: str) -> Garment:
    category = _one(rng, recipe.tops)
    color, print_, second = _cloth(rng, recipe, unlike)
    if category == "knitwear":
        print_, second = rng.choice([("solid", None), ("solid", None), ("stripe", second or "white")])
        if second == color:
            second = "navy"
    top = Garment("top", category, color, print_, _one(rng, MATERIALS[category]), "normal", sub_color=second)
    top.length = rng.choices(["crop", "normal", "long"], [2, 6, 2])[0]
    top.fit = rng.choices(["normal", "loose", "tight"], [5, 3, 2])[0]
    if category == "shirts":
        top.collar, top.neckline, top.detail = "shirt-collar", None, ["buttoned"]
        top.sleeve = _one(rng, "long-sleeve long-sleeve short-sleeve")
        top.fit = _one(rng, "normal loose")
    elif category == "knitwear":
        top.neckline, top.sleeve = (_one(rng, "turtleneck round-neck v-neck"), "long-sleeve")
    elif category == "blouses":
        top.neckline = _one(rng, "v-neck round-neck square-neck")
        top.sleeve, top.detail, top.fit = (
            _one(rng, "long-sleeve 3/4th-sleeve short-sleeve"),
            ["puff"],
            "loose",
        )
    else:
        top.neckline = _one(rng, "round-neck v-neck boat-neck u-neck")
        top.sleeve = _one(rng, "short-sleeve sleeveless long-sleeve short-sleeve")
    return top


def _bottom(rng: random.Random, recipe: Recipe) -> Garment:
    category = _one(rng, recipe.bottoms)
    color, print_, second = _cloth(rng, recipe)
    if category == "jeans":
        color, print_, second = _one(rng, "blue navy skyblue black"), "solid", None
    elif category == "pants":
        print_, second = "solid", None
    bottom = Garment(
        "bottom", category, color, print_, _one(rng, MATERIALS[category]), "ankle", sub_color=second
    )
    if category == "skirts":
        bottom.length = _one(rng, "mini knee-length midi midi maxi")
        bottom.detail = [rng.choice(["pleats", "flare"])] if rng.random() < 0.7 else []
        bottom.fit = "normal" if bottom.detail else "tight"
    else:
        bottom.length = _one(rng, "ankle ankle maxi")
        bottom.fit = _one(rng, "normal wide skinny" if category == "jeans" else "normal wide")
        bottom.detail = ["stitch", "pockets"] if category == "jeans" else []
    return bottom


def _dress(rng: random.Random, recipe: Recipe) -> Garment:
    category = "jumpsuits" if rng.random() < 0.12 else "dresses"
    color, print_, second = _cloth(rng, recipe)
    dress = Garment(
        "dress", category, color, print_, _one(rng, MATERIALS[category]), "ankle", sub_color=second
    )
    dress.neckline = _one(rng, "v-neck round-neck square-neck boat-neck")
    dress.sleeve = _one(rng, "sleeveless short-sleeve long-sleeve 3/4th-sleeve")
    if category == "jumpsuits":
        dress.fit, dress.detail = "wide", ["sash"]
        return dress
    dress.length = _one(rng, "mini knee-length midi midi maxi")
    dress.detail = _one(rng, "flare pleats sash sash+flare none").replace("none", "").split("+")
    dress.detail = [detail for detail in dress.detail if detail]
    dress.fit = "normal" if dress.detail else "tight"
    return dress


def _outer(rng: random.Random, recipe: Recipe, unlike: str) -> Garment:
    category = _one(rng, recipe.outers)
    color = rng.choice([key for key in recipe.colors.split() if key not in (unlike, "white")] or ["beige"])
    outer = Garment("outer", category, color, "solid", _one(rng, MATERIALS[category]), "normal")
    outer.sleeve, outer.fit = "long-sleeve", _one(rng, "normal loose")
    if category == "coats":
        outer.length, outer.collar = _one(rng, "long half maxi"), "tailored-collar"
        outer.detail = ["buttoned", "pockets"]
    elif category == "jackets":
        outer.length, outer.collar, outer.detail = (_one(rng, "normal crop"), "tailored-collar", ["buttoned"])
    else:
        outer.length, outer.collar, outer.detail = (_one(rng, "crop normal"), "standup-collar", ["zip-up"])
    if outer.material == "leather":
        outer.color = _one(rng, "black brown")
    elif recipe.prints.startswith("check") and category != "jumpers":
        outer.print, outer.sub_color = ("check", "beige" if outer.color != "beige" else "brown")
    return outer
