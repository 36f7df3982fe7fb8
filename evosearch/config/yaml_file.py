"""YAML read strictly: no duplicate keys, no tags, no bombs; and where each value stands, for messages."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any, NamedTuple

import yaml

from evosearch.errors import ConfigError
from evosearch.regular_files import read_start

MAX_CHARACTERS = 1_000_000
MAX_NODES = 20_000
MAX_DEPTH = 50
MAX_NUMBER = 100

Path = tuple[str | int, ...]
"""The keys and indices that lead to a value, as in ("tasks", 0, "name")."""


class Document(NamedTuple):
    """A YAML file's data, and the line of each value (counting from 1)."""

    data: Any
    lines: dict[Path, int]


def read_yaml(path: FilePath) -> Document:
    """Read a YAML file. Raises ConfigError: `FILE:LINE: what is wrong`."""
    try:
        text = read_start(path, MAX_CHARACTERS + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: can't be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}"
        ) from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> Document:
    """Read YAML text; see `read_yaml`."""
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(f"{source}: expected at most {MAX_CHARACTERS} characters")
    try:
        reader = _Reader(source)
        node = _Loader(text, source).get_single_node()
        data = None if node is None else reader.read(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{source}:{line}: this is not YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{source}: this is not YAML: {' '.join(str(error).split())}") from error
    return Document(data, reader.lines)


def parse_value(text: str) -> Any:
    """One value as YAML spells it, for `--set`: 3, 0.5, true, null, [1, 2], text."""
    return parse_yaml(text, "--set").data


def dump_yaml(data: Any) -> str:
    """YAML text of plain data, keys in the given order, programs as blocks of lines."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


_TEXT = "tag:yaml.org,2002:str"
_LIST, _MAPPING = "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"


class _Loader(yaml.SafeLoader):
    """Composes nodes, and stops at too many: a megabyte of them takes a minute."""

    def __init__(self, text: str, source: str) -> None:
        super().__init__(text)
        self.source = source
        self.left = MAX_NODES

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.left -= 1
        if self.left < 0:
            line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
            raise ConfigError(f"{self.source}:{line}: expected at most {MAX_NODES} keys and values")
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


class _Reader:
    """Turns nodes into data; aliases are followed, and everything is counted."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: dict[Path, int] = {}
        self.left = MAX_NODES
        self.scalars = yaml.SafeLoader("")

    def read(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self.left -= 1
        if self.left < 0:
            raise ConfigError(
                f"{self.source}:{line}: expected at most {MAX_NODES} values (aliases count each time)"
            )
        self.lines[path] = line
        if len(path) > MAX_DEPTH:
            raise ConfigError(f"{self.source}:{line}: expected at most {MAX_DEPTH} levels")
        if node.tag != self.plain_tag(node):
            raise ConfigError(f"{self.source}:{line}: expected no tag, found {node.tag!r:.100}")
        if node.tag != _TEXT and isinstance(node, yaml.ScalarNode) and len(node.value) > MAX_NUMBER:
            # Numbers to the base 60, as in 1:30:00, take the square of their length to read.
            raise ConfigError(
                f"{self.source}:{line}: expected a number of at most {MAX_NUMBER} characters, "
                f"found {len(node.value)}"
            )
        if isinstance(node, yaml.SequenceNode):
            return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        return self.scalars.construct_object(node)

    def plain_tag(self, node: yaml.Node) -> str:
        """The tag that a node has if none is written."""
        if not isinstance(node, yaml.ScalarNode):
            return _LIST if isinstance(node, yaml.SequenceNode) else _MAPPING
        plain = node.style is None
        tag: str = self.scalars.resolve(  # type: ignore[no-untyped-call]
            yaml.ScalarNode, node.value, (plain, not plain)
        )
        return tag

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            line = key_node.start_mark.line + 1
            if key is None:
                raise ConfigError(f"{self.source}:{line}: expected a name as key")
            if key in result:
                raise ConfigError(f"{self.source}:{line}: the key {key!r} stands here twice")
            result[key] = self.read(value_node, (*path, key))
            self.lines[(*path, key)] = line
        return result


class _Dumper(yaml.SafeDumper):
    """Prints texts of several lines as blocks."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)
