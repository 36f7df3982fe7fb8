"""The family of fine-tuning: start from weights that were trained on something else.

`digits_finetune` was trained on half of the classes and learns the other half, with a new head;
`char_finetune` was trained on English and learns Python. The pre-trained weights are arrays of the task's
data, so that its fingerprint has them.
"""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from proxy_tasks.classification import AttentionKnobs, classification_task, heads_divide
from proxy_tasks.data.images import cut, error_of_a_guess, labelled_images, less_training, scaled
from proxy_tasks.data.text import bundled_text, load_text, windows_of
from proxy_tasks.data.tokens import TOKENISERS
from proxy_tasks.errors import TaskError
from proxy_tasks.knobs import whole
from proxy_tasks.language import TransformerKnobs, language_task, transformer, transformer_init, windows
from proxy_tasks.language import heads_divide as check_heads
from proxy_tasks.layers import cross_entropy
from proxy_tasks.models.classifier import Classifier
from proxy_tasks.models.vit import vit
from proxy_tasks.pretraining import pretrained
from proxy_tasks.protocol import Batch, Data, Key, Params, Scalar, Split, Task, TaskData

FAMILY = "fine-tuning"
PRETRAINING_BATCH = 32

# ---------------------------------------------------------------------------------------- digits_finetune


@dataclass(frozen=True)
class DigitsFinetuneKnobs(AttentionKnobs):
    """A vision transformer that knows the first half of the classes and learns the second.

    Attributes:
        pretraining: training steps on the first half.
    """

    steps: int = whole(100, most=10_000_000)
    pretraining: int = whole(500, most=10_000_000, least=10)


def build_digits_finetune(knobs: DigitsFinetuneKnobs) -> Task:
    """Fine-tune all the weights under a new head."""
    heads_divide(knobs.heads, knobs.width)
    network = vit(knobs.width, knobs.depth, knobs.heads, knobs.patch, knobs.dropout)
    return classification_task(
        "digits_finetune",
        knobs,
        network,
        load=partial(_load_digits, knobs, network),
        init=partial(_with_new_head, network),
        family=FAMILY,
    )


def _load_digits(knobs: DigitsFinetuneKnobs, network: Classifier) -> TaskData:
    """`inputs`, `targets` of the second half of the classes, and `pretrained`, weights, in each split."""
    images = labelled_images(knobs)
    classes = int(images.labels.max()) + 1
    if classes < 4:
        raise TaskError(f"expected four classes or more, two to start with and two to learn, found {classes}")
    known = classes // 2
    before, after = np.flatnonzero(images.labels < known), np.flatnonzero(images.labels >= known)
    inputs = scaled(images.pixels, before, knobs.path)
    source = {"inputs": inputs[before], "targets": np.eye(known, dtype=np.float32)[images.labels[before]]}
    weights = _pretrained_vit(knobs, network, source)
    parts = less_training(cut(images.labels[after]), knobs.fraction)
    parts = {split: after[index] for split, index in parts.items()}
    targets = np.eye(classes - known, dtype=np.float32)[np.maximum(images.labels - known, 0)]
    splits: dict[Split, Data] = {
        split: {"inputs": inputs[index], "targets": targets[index], "pretrained": weights}
        for split, index in parts.items()
    }
    return TaskData(splits, parts, chance=error_of_a_guess(classes - known))


def _pretrained_vit(knobs: DigitsFinetuneKnobs, network: Classifier, source: Data) -> Params:
    shape, classes = source["inputs"].shape[1:], source["targets"].shape[1]
    if network.fits(shape):
        raise TaskError(f"expected images of {network.fits(shape)}, found {shape[0]} x {shape[1]} pixels")

    def draw(key: Key) -> Batch:
        return jax.random.randint(key, (PRETRAINING_BATCH,), 0, len(source["inputs"]))

    def loss(params: Params, data: Data, index: Batch) -> Scalar:
        logits = network.apply(params, data["inputs"][index], None)
        return jnp.mean(cross_entropy(logits, data["targets"][index]))

    what = {
        "network": "vit",
        **{name: getattr(knobs, name) for name in ("width", "depth", "heads", "patch")},
    }
    return pretrained(what, source, lambda k: network.init(k, shape, classes), draw, loss, knobs.pretraining)


def _with_new_head(network: Classifier, key: Key, data: Data) -> Params:
    """The pre-trained weights, all but the head's."""
    fresh = network.init(key, data["inputs"].shape[1:], data["targets"].shape[1])
    return {**data["pretrained"], "head": fresh["head"]}


# ------------------------------------------------------------------------------------------ char_finetune

MODULES = ("argparse", "ast", "difflib", "doctest", "inspect", "subprocess", "tarfile", "typing")
"""Of the standard library: about 750,000 characters of Python, which differ between versions of CPython."""


@dataclass(frozen=True)
class CharFinetuneKnobs(TransformerKnobs):
    """A transformer that knows English and learns Python.

    Attributes:
        path: the text to fine-tune on; None for source code of the standard library.
        pretraining: training steps on CPython's help texts.
    """

    steps: int = whole(100, most=10_000_000)
    pretraining: int = whole(1000, most=10_000_000, least=10)


def build_char_finetune(knobs: CharFinetuneKnobs) -> Task:
    """Fine-tune all the weights."""
    check_heads(knobs)
    return language_task(
        "char_finetune",
        knobs,
        lambda _key, data: data["pretrained"],
        partial(transformer, knobs, True),
        predicted=knobs.context,
        load=partial(_load_text, knobs),
        family=FAMILY,
    )


def _load_text(knobs: CharFinetuneKnobs) -> TaskData:
    """As of other language tasks, with the first text's tokens; and `pretrained`, weights, in each split."""
    english = bundled_text()
    window = knobs.context + 1
    data = windows_of(load_text(knobs, window, _python, english), knobs, knobs.context, window)
    codes = TOKENISERS[knobs.tokens](english, knobs.symbols).encode(english).astype(np.int32)
    weights = _pretrained_transformer(knobs, {"codes": codes})
    splits = {split: {**arrays, "pretrained": weights} for split, arrays in data.splits.items()}
    return TaskData(splits, data.identity, data.chance)


def _pretrained_transformer(knobs: CharFinetuneKnobs, source: Data) -> Params:
    window = knobs.context + 1

    def draw(key: Key) -> Batch:
        return jax.random.randint(key, (PRETRAINING_BATCH,), 0, len(source["codes"]) - window + 1)

    def loss(params: Params, data: Data, starts: Batch) -> Scalar:
        tokens = windows(data["codes"], starts, window)
        logits = transformer(knobs, True, params, tokens[:, :-1], None)
        return jnp.mean(cross_entropy(logits, jax.nn.one_hot(tokens[:, 1:], knobs.symbols)))

    what = {
        "network": "transformer",
        **{name: getattr(knobs, name) for name in ("width", "depth", "heads", "context", "symbols")},
    }
    init = partial(transformer_init, knobs, knobs.symbols, _data=None)
    return pretrained(what, source, init, draw, loss, knobs.pretraining)


def _python() -> str:
    """Source code of the standard library."""
    folder = Path(sysconfig.get_path("stdlib"))
    try:
        return "\n".join((folder / f"{name}.py").read_text("utf-8") for name in MODULES)
    except OSError as error:
        raise TaskError(
            f"expected the source code of the standard library in {folder}, found {error.strerror}: "
            f"{error.filename}; give a text with the knob 'path'"
        ) from None
