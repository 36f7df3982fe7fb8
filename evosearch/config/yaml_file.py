"""YAML read strictly: no duplicate keys, no tags, no bombs; and where each value stands, for messages."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any, NamedTuple

import yaml

from evosearch.errors import ConfigError

MAX_CHARACTERS = 1_000_000
MAX_NODES = 100_000

Path = tuple[str | int, ...]
"""The keys and indices that lead to a value, as in ("tasks", 0, "name")."""


class Document(NamedTuple):
    """A YAML file's data, and the line of each value (counting from 1)."""

    data: Any
    lines: dict[Path, int]


def read_yaml(path: FilePath) -> Document:
    """Read a YAML file. Raises ConfigError: `FILE:LINE: what is wrong`."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_CHARACTERS + 1)
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
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        reader = _Reader(source)
        data = None if node is None else reader.read(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{source}:{line}: this is not YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{source}: this is not YAML: {' '.join(str(error).split())}") from error
    return Document(data, reader.lines if node is not None else {})


def parse_value(text: str) -> Any:
    """One value as YAML spells it, for `--set`: 3, 0.5, true, null, [1, 2], text."""
    return parse_yaml(text, "--set").data


def dump_yaml(data: Any) -> str:
    """YAML text of plain data, keys in the given order, programs as blocks of lines."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


_PLAIN = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


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
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _PLAIN:
            raise ConfigError(f"{self.source}:{line}: expected no tag, found {node.tag!r}")
        if isinstance(node, yaml.SequenceNode):
            return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        return self.scalars.construct_object(node)

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
