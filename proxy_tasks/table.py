"""The table of tasks: one row each, and nothing elsewhere depends on a task's name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cache, partial
from types import MappingProxyType
from typing import Any

from proxy_tasks import classification as images
from proxy_tasks import contrastive, finetuning, generation, language, masked, synthetic
from proxy_tasks.errors import TaskError, unknown
from proxy_tasks.knobs import Knobs
from proxy_tasks.protocol import Task, TaskData

PRESETS = ("tiny", "x10", "x100")
"""`tiny` is a row's defaults, for searches; the others are about 10 and 100 times its parameters x steps."""


@dataclass(frozen=True)
class TaskRow:
    """A task that can be built.

    Attributes:
        name: how YAML and the command line call it.
        summary: one line for people.
        knobs: the frozen dataclass of its settings, with defaults.
        build: makes the task from an instance of `knobs`.
        x10: knobs of the preset of ten times the parameters x steps.
        x100: knobs of the preset of a hundred times the parameters x steps.
    """

    name: str
    summary: str
    knobs: type[Knobs]
    build: Callable[[Any], Task]
    tiny: Mapping[str, object] = field(default_factory=dict)
    x10: Mapping[str, object] = field(default_factory=dict)
    x100: Mapping[str, object] = field(default_factory=dict)

    def preset(self, name: str) -> dict[str, object]:
        """Knobs of one of `PRESETS`, those that differ from the dataclass's defaults."""
        if name not in PRESETS:
            raise unknown("preset", str(name), PRESETS)
        return dict(getattr(self, name))


_ROWS = (
    TaskRow(
        "digits_mlp",
        "which digit an image shows, with one hidden layer",
        images.ClassificationKnobs,
        images.build_mlp,
        x10={"width": 128, "depth": 2, "steps": 370},
        x100={"width": 256, "depth": 3, "steps": 640},
    ),
    TaskRow(
        "digits_resnet",
        "which digit an image shows, with residual convolutions",
        images.ResnetKnobs,
        images.build_resnet,
        x10={"width": 16, "shift": 1, "steps": 520},
        x100={"width": 24, "depth": 4, "shift": 1, "steps": 800},
    ),
    TaskRow(
        "digits_vit",
        "which digit an image shows, with attention between patches",
        images.AttentionKnobs,
        images.build_vit,
        x10={"width": 32, "depth": 3, "steps": 360},
        x100={"width": 64, "depth": 4, "heads": 4, "steps": 680},
    ),
    TaskRow(
        "digits_mixer",
        "which digit an image shows, with dense layers across patches and channels",
        images.MixerKnobs,
        images.build_mixer,
        x10={"width": 32, "depth": 3, "steps": 370},
        x100={"width": 64, "depth": 4, "steps": 730},
    ),
    TaskRow(
        "digits_hybrid",
        "which digit an image shows, with convolutions first and attention after",
        images.HybridKnobs,
        images.build_hybrid,
        x10={"width": 32, "depth": 2, "steps": 330},
        x100={"width": 64, "depth": 3, "heads": 4, "steps": 630},
    ),
    TaskRow(
        "char_mlp",
        "next token of English text, from an embedding and one hidden layer",
        language.CharMlpKnobs,
        language.build_char_mlp,
        x10={"context": 16, "embedding": 16, "width": 128, "steps": 480},
        x100={"context": 16, "embedding": 16, "width": 512, "depth": 2, "steps": 500},
    ),
    TaskRow(
        "char_transformer",
        "next token of English text, with causal attention",
        language.TransformerKnobs,
        language.build_char_transformer,
        x10={"width": 48, "depth": 2, "steps": 370},
        x100={"width": 96, "depth": 3, "heads": 4, "steps": 700},
    ),
    TaskRow(
        "char_gru",
        "next token of English text, with a recurrent network",
        language.GruKnobs,
        language.build_char_gru,
        x10={"width": 64, "depth": 2, "steps": 400},
        x100={"width": 160, "depth": 2, "steps": 740},
    ),
    TaskRow(
        "char_masked",
        "hidden tokens of English text, with attention to both sides",
        masked.MaskedKnobs,
        masked.build_char_masked,
        x10={"width": 48, "depth": 2, "steps": 740},
        x100={"width": 96, "depth": 3, "heads": 4, "steps": 1400},
    ),
    TaskRow(
        "digits_diffusion",
        "the noise in an image of a digit, with a U-Net",
        generation.DiffusionKnobs,
        generation.build_digits_diffusion,
        x10={"width": 16, "depth": 2, "steps": 320},
        x100={"width": 32, "depth": 3, "steps": 580},
    ),
    TaskRow(
        "patches_autoencoder",
        "patches of photographs through a narrow middle",
        generation.AutoencoderKnobs,
        generation.build_patches_autoencoder,
        x10={"width": 128, "depth": 2, "steps": 390},
        x100={"width": 256, "depth": 3, "code": 32, "steps": 670},
    ),
    TaskRow(
        "digits_contrastive",
        "which caption belongs to an image of a digit, both towers learning",
        contrastive.ContrastiveKnobs,
        contrastive.build_contrastive,
        x10={"width": 32, "depth": 2, "vector": 32, "steps": 290},
        x100={"width": 64, "depth": 3, "heads": 4, "vector": 64, "steps": 500},
    ),
    TaskRow(
        "digits_locked",
        "which caption belongs to an image of a digit, the image tower frozen",
        contrastive.LockedKnobs,
        contrastive.build_locked,
        x10={"width": 32, "depth": 2, "features": 64, "steps": 150},
        x100={"width": 64, "depth": 3, "heads": 4, "features": 128, "steps": 270},
    ),
    TaskRow(
        "digits_finetune",
        "five digits, by a network that was trained on the other five",
        finetuning.DigitsFinetuneKnobs,
        finetuning.build_digits_finetune,
        x10={"width": 32, "depth": 3, "steps": 180},
        x100={"width": 64, "depth": 4, "heads": 4, "steps": 340},
    ),
    TaskRow(
        "char_finetune",
        "next token of Python, by a network that was trained on English",
        finetuning.CharFinetuneKnobs,
        finetuning.build_char_finetune,
        x10={"width": 48, "depth": 2, "steps": 190},
        x100={"width": 96, "depth": 3, "heads": 4, "steps": 350},
    ),
    TaskRow(
        "quadratic",
        "an ill-conditioned quadratic with noise",
        synthetic.QuadraticKnobs,
        synthetic.build_quadratic,
        x10={"width": 512, "condition": 10000, "steps": 1000},
        x100={"width": 1024, "condition": 100000, "steps": 5000},
    ),
    TaskRow(
        "teacher_student",
        "regression on the answers of a fixed random network",
        synthetic.TeacherKnobs,
        synthetic.build_teacher_student,
        x10={"width": 96, "depth": 3, "teacher": 16, "steps": 320},
        x100={"width": 256, "depth": 3, "teacher": 32, "steps": 470},
    ),
    TaskRow(
        "modular_addition",
        "a + b modulo a prime, from some of the pairs",
        synthetic.ModularKnobs,
        synthetic.build_modular_addition,
        x10={"modulus": 31, "embedding": 64, "width": 128, "steps": 620},
        x100={"modulus": 59, "embedding": 128, "width": 256, "steps": 1600},
    ),
)

TASKS: Mapping[str, TaskRow] = MappingProxyType({row.name: row for row in _ROWS})
"""Every task by its name."""


def build(name: str, /, preset: str = "tiny", **knobs: object) -> Task:
    """The task called `name` at a preset, some of whose knobs are replaced.

    A mistake in a knob or in a file that it names is found here, one that takes the bundled data to see when
    `Task.data` is first called.

    Raises:
        TaskError: an unknown task, preset or knob, a bad value, or a data file that cannot be used.

    Example:
        >>> build("char_mlp", steps=50).steps
        50
    """
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    row = TASKS[name]
    known = {knob.name for knob in fields(row.knobs)}
    with _mistakes_of(name):
        for knob in knobs:
            if knob not in known:
                raise unknown("knob", knob, known | {"preset"})
        task = row.build(row.knobs(**{**row.preset(preset), **knobs}))  # type: ignore[arg-type]
    return replace(task, data=cache(partial(_data, name, task.data)))


def _data(name: str, load: Callable[[], TaskData]) -> TaskData:
    with _mistakes_of(name):
        return load()


@contextmanager
def _mistakes_of(name: str) -> Iterator[None]:
    """Say in which task a mistake is."""
    try:
        yield
    except TaskError as error:
        raise TaskError(f"task {name!r}: {error}") from None
