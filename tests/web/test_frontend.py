"""The sources of the pages: both languages complete, types current, checked and tested by their own tools."""

import json
import re
from pathlib import Path

import pytest

import crowd
from frontend import api_types, build

SOURCES = build.FRONTEND / "src"
WORDS = SOURCES / "i18n"
HOLE = re.compile(r"\{(\w+)\}")
FORMS = re.compile(r"\{(\w+):[^|{}]*\|[^{}]*\}")


def _words(name: str) -> dict[str, str]:
    words: dict[str, str] = json.loads((WORDS / f"{name}.json").read_text(encoding="utf-8"))
    return words


@pytest.mark.parametrize("more", ["", "pages.", "steering."])
def test_both_dictionaries_say_the_same_things(more: str) -> None:
    english, korean = _words(f"{more}en"), _words(f"{more}ko")
    assert list(english) == list(korean)
    for key, text in english.items():
        assert text.strip(), key
        assert korean[key].strip(), key
        assert sorted(HOLE.findall(text)) == sorted(HOLE.findall(korean[key])), key


@pytest.mark.parametrize("more", ["", "pages.", "steering."])
def test_what_goes_with_one_or_more_goes_with_a_number_that_is_told(more: str) -> None:
    english, korean = _words(f"{more}en"), _words(f"{more}ko")
    assert not [key for key, text in korean.items() if FORMS.search(text)]
    for key, text in english.items():
        assert set(FORMS.findall(text)) <= set(HOLE.findall(text)), key
        assert not re.search(r"\} (?:\w+ )?(?:images|answers|files|labels|reviews|pieces)\b", text), key


def test_no_space_before_a_sign_is_left_to_the_compiler_which_drops_it() -> None:
    begun = r"(?:\{#if [^{}\n]*\}|\{:else\}|<(?:span|strong|small)(?: [^<>]*)?>) [·→/(]"
    dropped = re.compile(begun + r"|[·→/] \{/(?:if|each)\}")
    for path in SOURCES.rglob("*.svelte"):
        assert not dropped.search(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("more", ["", "pages.", "steering."])
def test_korean_is_korean(more: str) -> None:
    words = {key: HOLE.sub("", text) for key, text in _words(f"{more}ko").items()}
    # What is nothing but values and signs, as "{n} / {all}", needs no Korean.
    spoken = {key: text for key, text in words.items() if re.search("[A-Za-z]", text)}
    latin = [key for key, text in spoken.items() if not re.search("[가-힣]", text)]
    assert latin == []


def test_every_word_is_used() -> None:
    text = "\n".join(
        path.read_text(encoding="utf-8") for path in SOURCES.rglob("*") if path.suffix in (".svelte", ".ts")
    )
    families = set(re.findall(r"term\(\s*[\"'](\w+)", text)) | set(re.findall(r"t\(`([\w.]+)\.\$\{", text))
    unused = [
        key
        for key in (*_words("en"), *_words("pages.en"), *_words("steering.en"))
        if key not in text and not any(key.startswith(f"{family}.") for family in families)
    ]
    assert unused == []


def test_the_types_are_those_of_the_api() -> None:
    """After a change of the API: `.venv/bin/python -m frontend.api_types`."""
    first_line = api_types.TYPES.read_text(encoding="utf-8").partition("\n")[0]
    assert first_line == api_types.first_line(api_types.description())


def test_no_token_is_kept_where_scripts_can_read_it() -> None:
    for path in SOURCES.rglob("*.*"):
        if path.suffix in (".svelte", ".ts"):
            kept = re.findall(r"(?:local|session)Storage\.setItem\(([^)]*)", path.read_text(encoding="utf-8"))
            assert not any("token" in what.lower() or "password" in what.lower() for what in kept), path


def test_the_lock_file_names_no_registry_and_every_platforms_bundler() -> None:
    lock = (build.FRONTEND / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in lock
    bundlers = {name for name in json.loads(lock)["packages"] if "@rolldown/binding-" in name}
    assert len(bundlers) >= 15, "npm has dropped platforms: make the lock file anew from nothing"


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("svelte-check/bin/svelte-check", ("--tsconfig", "./tsconfig.json", "--fail-on-warnings")),
        ("vitest/vitest.mjs", ("run",)),
    ],
)
def test_the_sources_pass_their_own_checks(tool: str, arguments: tuple[str, ...]) -> None:
    build.install()
    build.run_node(build.MODULES / Path(tool), *arguments)


def test_a_build_is_current_until_a_source_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in build.BUILT_FROM:
        (tmp_path / name).write_text("1")
    monkeypatch.setattr(build, "FRONTEND", tmp_path)
    monkeypatch.setattr(build, "STAMP", tmp_path / "stamp")
    assert not build.is_current()
    (tmp_path / "stamp").write_text(build.source_hash())
    assert build.is_current()
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "new.ts").write_text("")
    assert not build.is_current()


def test_every_refusal_in_words_is_one_of_the_server() -> None:
    """A code that was renamed would leave its words behind, and be shown in English from then on."""
    server = "\n".join(path.read_text(encoding="utf-8") for path in Path(crowd.__file__).parent.rglob("*.py"))
    refused = _words("refused.ko")
    assert [code for code in refused if f'"{code}"' not in server] == []
    assert [code for code, text in refused.items() if not re.search("[가-힣]", text)] == []
