"""What a worker's browser fetches before it can work: little, at every stage and in both languages."""

import json
import re
from pathlib import Path

import pytest

from crowd.web import pages
from frontend import build

ASSETS = pages.DIST / "assets"
SOURCES = build.FRONTEND / "src"
LANGUAGES = ("en", "ko")
# The screen that each stage of work is done on; second reviews and adjudications are on that of the first.
SCREENS = {
    "segmentation": "SegmentationTask",
    "attributes": "AttributesTask",
    "styles": "StylesTask",
    "review": "ReviewTask",
}
MOST_BYTES = 60_000


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("stage", SCREENS)
def test_a_worker_fetches_at_most_60_kilobytes_of_scripts(stage: str, language: str) -> None:
    page = (pages.DIST / "index.html").read_text(encoding="utf-8")
    begun = re.findall(r'(?:src|href)="/assets/([^"]+\.js)"', page)
    assert begun, "the page begins with no script"
    scripts = _with_imports([*begun, _built(SCREENS[stage]), _built(language)])
    sizes = {name: _packed_size(name) for name in scripts}
    assert sum(sizes.values()) <= MOST_BYTES, sizes


def test_a_worker_knows_every_word_of_work() -> None:
    """A word that other pages alone bring along would be shown as its key."""
    work, others = (set(_words(name)) for name in ("en", "pages.en"))
    said = "\n".join(path.read_text(encoding="utf-8") for path in _sources_of([SOURCES / "main.ts"]))
    families = set(re.findall(r"term\(\s*[\"'](\w+)", said)) | set(re.findall(r"t\(`([\w.]+)\.\$\{", said))
    strange = [
        key
        for key in others - work
        if f'"{key}"' in said or any(key.startswith(f"{family}.") for family in families)
    ]
    assert strange == []


def test_no_word_stands_in_two_dictionaries() -> None:
    keys = [key for name in ("en", "pages.en", "steering.en") for key in _words(name)]
    assert len(keys) == len(set(keys))


def _words(name: str) -> dict[str, str]:
    words: dict[str, str] = json.loads((SOURCES / "i18n" / f"{name}.json").read_text(encoding="utf-8"))
    return words


def _built(name: str) -> str:
    (found,) = (
        path.name for path in ASSETS.glob("*.js") if re.fullmatch(rf"{name}-[\w-]{{8}}\.js", path.name)
    )
    return found


def _with_imports(names: list[str]) -> set[str]:
    """The scripts, and what those import before they run; not what they fetch later."""
    reached: set[str] = set()
    while names:
        name = names.pop()
        if name in reached:
            continue
        reached.add(name)
        script = (ASSETS / name).read_text(encoding="utf-8")
        names += re.findall(r"""(?:\bfrom|\bimport)\s*["'`]\./([\w.-]+\.js)["'`]""", script)
    return reached


def _packed_size(name: str) -> int:
    """As it is sent: what is too small to be worth packing is sent as it is."""
    packed = ASSETS / f"{name}.gz"
    return (packed if packed.is_file() else ASSETS / name).stat().st_size


def _sources_of(paths: list[Path]) -> set[Path]:
    """The sources, and what those import at once or later; `pages.ts` alone is fetched for other pages."""
    reached: set[Path] = set()
    while paths:
        path = paths.pop().resolve()
        if path in reached:
            continue
        reached.add(path)
        said = re.sub(r"import type .*", "", path.read_text(encoding="utf-8"))
        for name in re.findall(r'\bfrom "(\.[^"]+)"|\bimport\("(\.[^"]+\.svelte)"\)', said):
            beside = path.parent / "".join(name)
            found = (each for each in (beside, beside.with_name(f"{beside.name}.ts")) if each.is_file())
            paths += [each for each in found if each.suffix in (".ts", ".svelte")]
    return reached
