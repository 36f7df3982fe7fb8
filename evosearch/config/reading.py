"""From a YAML file to a checked model; every mistake as one line with file, line, key, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from evosearch.config.yaml_file import Document, parse_value, read_yaml
from evosearch.errors import ConfigError, nearest

Model = TypeVar("Model", bound=BaseModel)


def read_document(path: Path, overrides: Sequence[str] = ()) -> Document:
    """The data of a YAML file, with `a.b.0.c=value` set in it.

    Raises:
        ConfigError: the file can't be read, or an override fits nothing in it.
    """
    document = read_yaml(path)
    for text in overrides:
        _override(document.data, text)
    return document


def validated(model: type[Model], document: Document, source: str, keys: str) -> Model:
    """Data as a model.

    Args:
        model: with `extra="forbid"` where keys are fixed.
        document: data, and the line of each key.
        source: the file's name, for messages.
        keys: some keys of the top, for a file that holds something else.

    Raises:
        ConfigError: `FILE:LINE: key: what was expected, what was found, what to do`.
    """
    if not isinstance(document.data, dict):
        raise ConfigError(f"{source}: expected keys such as {keys} at the top")
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        raise ConfigError(_message(error, document, source, model)) from None


def where(document: Document, path: tuple[str | int, ...], source: str) -> str:
    """The file and, if it is known, the line of a key or of what holds it."""
    line = next(
        (document.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in document.lines), None
    )
    return f"{source}:{line}" if line else source


def _message(error: ValidationError, document: Document, source: str, model: type[BaseModel]) -> str:
    """The first problem that pydantic found, as one line for people."""
    # Of the branches of a union the one that got furthest says most.
    problem = max(error.errors(include_url=False), key=lambda p: len(p["loc"]))
    loc = tuple(part for part in problem["loc"] if not _is_union_branch(part, document, problem["loc"]))
    key = ".".join(str(part) for part in loc)
    at = where(document, loc, source)
    if problem["type"] == "extra_forbidden":
        known = _fields_at(model, loc[:-1])
        return f"{at}: unknown key {key!r}{nearest(str(loc[-1]), known)} (known here: {', '.join(known)})"
    if problem["type"] == "missing":
        return f"{at}: the key {key!r} is missing"
    text = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    text = text[:1].lower() + text[1:]
    found = problem["input"]
    shown = "" if isinstance(found, dict | list | BaseModel) else f", found {found!r}"
    if problem["type"] == "literal_error":
        shown += nearest(str(found), text.split("'")[1::2])
    return f"{at}: {key + ': ' if key else ''}{text}{shown}"


_BRANCHES = ("int", "str", "constrained-int", "VocabularyConfig")


def _is_union_branch(part: str | int, document: Document, loc: tuple[str | int, ...]) -> bool:
    """Whether a part of a location names a branch of a union instead of a key of the YAML."""
    at = loc.index(part)
    if isinstance(part, int) or at == 0:
        return False
    return loc[: at + 1] not in document.lines and ("[" in part or part in _BRANCHES)


def _fields_at(top: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The keys that may stand at a place of the YAML."""
    model: Any = top
    for part in path:
        if isinstance(part, str):
            model = next(_models(model.model_fields[part].annotation))
    return [name for name in model.model_fields if name != "made_with"]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _override(data: Any, text: str) -> None:
    """Set one value of the data in place: `a.b.0.c=value`."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {text}: expected key=value, as in search.budget.programs=1000")
    *path, last = key.split(".")
    place = data
    for part in path:
        if isinstance(place, Mapping) and part not in place:
            place[part] = {}  # type: ignore[index]
        place = _step(place, part, text)
    if isinstance(place, list):
        _step(place, last, text)
        place[int(last)] = parse_value(value)
    elif isinstance(place, dict):
        place[last] = parse_value(value)
    else:
        raise ConfigError(f"--set {text}: {'.'.join(path)} holds a single value, nothing can be set in it")


def _step(place: Any, part: str, text: str) -> Any:
    if isinstance(place, dict):
        return place[part]
    if isinstance(place, list) and part.isdecimal() and int(part) < len(place):
        return place[int(part)]
    raise ConfigError(f"--set {text}: there is nothing at {part!r}")
