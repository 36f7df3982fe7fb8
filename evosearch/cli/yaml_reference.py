"""Pages about YAML, from the schema: `python -m evosearch.cli.yaml_reference search > docs/yaml.md`."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from evosearch.funnel.config import FunnelConfig
from evosearch.search.config import Config

COMMAND = "python -m evosearch.cli.yaml_reference"

HEAD = """\
# Every key of a {name}'s YAML

Written from the schema by `{command} {name} > docs/{file}`. Unknown keys are errors that
name the nearest known one. `--set a.b.0.c=value` changes any of them on the command line. In `tasks`, every
further key is a knob of the task; `evosearch tasks` lists the knobs.

| key | default | what it is |
|---|---|---|
"""


@dataclass(frozen=True)
class Page:
    """One page of the reference.

    Attributes:
        file: in docs/.
        model: the schema.
        example: a file to look at.
    """

    file: str
    model: type[BaseModel]
    example: str


PAGES: Mapping[str, Page] = {
    "search": Page("yaml.md", Config, "configs/quickstart.yaml"),
    "funnel": Page("funnel_yaml.md", FunnelConfig, "configs/funnel.yaml"),
}


def yaml_reference(name: str) -> str:
    """A page as Markdown text.

    Args:
        name: a key of `PAGES`.
    """
    page = PAGES[name]
    rows = [f"| `{key}` | {default} | {text} |" for key, default, text in _rows(page.model, "")]
    head = HEAD.format(name=name, command=COMMAND, file=page.file)
    return head + "\n".join(rows) + f"\n\nAn example is [{page.example}](../{page.example}).\n"


def _rows(model: type[BaseModel], path: str) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        if field.exclude:
            continue
        key = f"{path}{name}"
        inner = list(_models(field.annotation))
        if inner and not field.description:
            text = (inner[0].__doc__ or "").split("\n")[0]
        else:
            text = field.description or ""
        many = "[]" if get_origin(field.annotation) is list else ""
        yield key + many, _default(field, bool(inner)), " ".join([text, *_choices(field.annotation)]).strip()
        for section in inner:
            yield from _rows(section, f"{key}{many}.")


def _default(field: FieldInfo, section: bool) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if isinstance(field.default, BaseModel) or (section and field.default is not None):
        return ""
    return (
        "none"
        if field.default is None
        else f"`{field.default}`".replace("True", "true").replace("False", "false")
    )


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return ["One of " + ", ".join(f"`{choice}`" for choice in get_args(annotation)) + "."]
    return []


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (list, Union, types.UnionType, Annotated):
        for inner in get_args(annotation):
            yield from _models(inner)


if __name__ == "__main__":
    if sys.argv[1:] not in [[name] for name in PAGES]:
        sys.exit(f"expected one of {', '.join(PAGES)}")
    sys.stdout.write(yaml_reference(sys.argv[1]))
