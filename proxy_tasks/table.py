"""The table of tasks: one row each, and nothing elsewhere depends on a task's name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from proxy_tasks import char_mlp, digits_mlp
from proxy_tasks.char_mlp import CharMlpKnobs, build_char_mlp
from proxy_tasks.digits_mlp import DigitsMlpKnobs, build_digits_mlp
from proxy_tasks.errors import TaskError, unknown
from proxy_tasks.knobs import Knobs
from proxy_tasks.protocol import Task


@dataclass(frozen=True)
class TaskRow:
    """A task that can be built.

    Attributes:
        name: how YAML and the command line call it.
        family: what kind of task it is.
        summary: one line for people.
        knobs: the frozen dataclass of its settings, with defaults.
        build: makes the task from an instance of `knobs`.
    """

    name: str
    family: str
    summary: str
    knobs: type[Knobs]
    build: Callable[[Any], Task]


_ROWS = (
    TaskRow("char_mlp", "language", char_mlp.SUMMARY, CharMlpKnobs, build_char_mlp),
    TaskRow("digits_mlp", "image", digits_mlp.SUMMARY, DigitsMlpKnobs, build_digits_mlp),
)

TASKS: Mapping[str, TaskRow] = MappingProxyType({row.name: row for row in _ROWS})
"""Every task by its name."""


def build(name: str, /, **knobs: object) -> Task:
    """The task called `name`, with its default knobs replaced by `knobs`.

    Raises:
        TaskError: an unknown task or knob, a bad value, or a data file that cannot be used.

    Example:
        >>> build("char_mlp", steps=50).steps
        50
    """
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    row = TASKS[name]
    known = {knob.name for knob in fields(row.knobs)}
    try:
        for knob in knobs:
            if knob not in known:
                raise unknown("knob", knob, known)
        return row.build(row.knobs(**knobs))  # type: ignore[arg-type]
    except TaskError as error:
        raise TaskError(f"task {name!r}: {error}") from None
