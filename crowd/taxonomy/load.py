"""Taxonomy files: YAML (JSON is YAML too) from disk to a taxonomy, or to what is wrong with the file."""

from collections.abc import Hashable
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer

from crowd.taxonomy.model import Taxonomy
from crowd.taxonomy.parse import TaxonomyError, parse_taxonomy

KFASHION = Path(__file__).with_name("kfashion.yaml")
LARGEST_FILE = 1024 * 1024


# Of a written file, what comes first; whatever is not named here follows.
_ORDER = (
    *("name", "version", "key", "code", "en", "ko", "definition", "group", "percent", "released", "nearest"),
    *("aliases", "retired", "released_order", "rect_no", "multiple", "parts", "values_from", "values"),
    *("attributes", "style_groups", "styles", "guidance", "categories", "items", "colors", "prints", "ours"),
    *("reasons", "unusable", "stages"),
)


def load_taxonomy(path: Path | None = None) -> Taxonomy:
    """The taxonomy of a file, or K-Fashion without one.

    Raises TaxonomyError: trouble with the file itself stands under `file`, all else under its path.
    """
    return parse_taxonomy(_document(_text(path))) if path else _kfashion()


def read_taxonomy(text: str) -> Taxonomy:
    """The taxonomy of a file's text. Raises TaxonomyError as `load_taxonomy` does."""
    return parse_taxonomy(_document(text))


def write_taxonomy(taxonomy: Taxonomy) -> str:
    """A taxonomy as a file's text (YAML), from which `read_taxonomy` reads an equal one."""
    return yaml.dump(
        _ordered(taxonomy.document),
        Dumper=yaml.CSafeDumper,
        allow_unicode=True,
        sort_keys=False,
        width=110,
        default_flow_style=None,
    )


def _ordered(value: Any) -> Any:
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    if not isinstance(value, dict):
        return value
    names = sorted(value, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
    return {name: _ordered(value[name]) for name in names}


@cache
def _kfashion() -> Taxonomy:
    return parse_taxonomy(_document(_text(KFASHION)))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise _file_error(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise _file_error("the path cannot be one of a file") from None
    if len(content) > LARGEST_FILE:
        raise _file_error(f"{path} is larger than {LARGEST_FILE // 1024} KiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _file_error(f"line {line} is not UTF-8") from None


def _document(text: str) -> object:
    try:
        return yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - safer than the safe loader
    except yaml.MarkedYAMLError as error:
        raise _file_error(_with_line(error)) from None
    except yaml.YAMLError as error:
        raise _file_error(f"is not YAML: {error}") from None
    except RecursionError:
        raise _file_error("is nested too deeply") from None


def _with_line(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "is not YAML"
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else problem


def _file_error(text: str) -> TaxonomyError:
    return TaxonomyError({"file": [text]})


class _PlainLoader(Composer, yaml.CSafeLoader):
    """Plain data only: no tags, no aliases, and no field written twice.

    libyaml reads, which takes a fifth of the time. YAML's own loader would keep the last of two equal
    fields without a word, and a few lines of nested aliases unfold to billions of nodes.
    """

    def __init__(self, stream: str) -> None:
        yaml.CSafeLoader.__init__(self, stream)
        Composer.__init__(self)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise _unwanted("aliases (*name) are not understood", event)
        if event is not None and getattr(event, "tag", None) is not None:
            raise _unwanted("tags (!name) are not understood", event)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen: set[str] = set()
        for name, _ in node.value:
            if not isinstance(name, yaml.ScalarNode):
                raise _unwanted("a field needs a plain name", name)
            if name.value in seen:
                raise _unwanted(f"{name.value!r} is written twice", name)
            seen.add(name.value)
        return super().construct_mapping(node, deep=deep)


def _unwanted(problem: str, where: yaml.Event | yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=where.start_mark)  # type: ignore[arg-type]


# Days and times would come out as objects that JSON cannot say; an impossible one even as a crash.
_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
