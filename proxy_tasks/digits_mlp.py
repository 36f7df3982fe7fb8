"""digits_mlp: which digit an 8 x 8 image shows.

    p = softmax(relu(x W1 + b1) W2 + b2)

One hidden layer: a second one doubles the time and leaves the error where it is.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from proxy_tasks.images import TIE_BREAK, load_images
from proxy_tasks.knobs import Knobs, data_of, whole
from proxy_tasks.nets import cross_entropy, dense, dense_init, mean_over
from proxy_tasks.protocol import Batch, Batches, Data, Key, Params, Scalar, Task

SUMMARY = "handwritten digits of 8 x 8 pixels, with one hidden layer"


@dataclass(frozen=True)
class DigitsMlpKnobs(Knobs):
    """Sizes of digits_mlp.

    Attributes:
        hidden: width of the hidden layer.
        path: an .npz file with `images` and `labels`; None for scikit-learn's digits.
    """

    hidden: int = whole(64)


def build_digits_mlp(knobs: DigitsMlpKnobs) -> Task:
    """The task for these sizes.

    Raises:
        TaskError: the file at `knobs.path` cannot be used.
    """
    return Task(
        name="digits_mlp",
        family="image",
        summary=SUMMARY,
        metric=f"validation error + {TIE_BREAK} x validation loss",
        steps=knobs.steps,
        batch_size=knobs.batch,
        data=data_of(knobs, partial(load_images, knobs.path)),
        init=partial(_init, knobs),
        draw=partial(_draw, knobs),
        loss=_loss,
        evaluate=_evaluate,
    )


def _init(knobs: DigitsMlpKnobs, key: Key, data: Data) -> Params:
    hidden, out = jax.random.split(key)
    return {
        "hidden": dense_init(hidden, data["inputs"].shape[1], knobs.hidden),
        "out": dense_init(out, knobs.hidden, data["targets"].shape[1]),
    }


def _draw(knobs: DigitsMlpKnobs, key: Key, data: Data, steps: int) -> Batches:
    """Which images, int32 (steps, batch): uniform, with replacement.

    Epochs of shuffles take eight times as long to draw, a third of a training more, and narrow the spread of
    the scores over seeds by a tenth at best: more seeds do that for less.
    """
    count = data["inputs"].shape[0]
    return {"index": jax.random.randint(key, (steps, knobs.batch), 0, count, jnp.int32)}


def _logits(params: Params, inputs: jax.Array) -> jax.Array:
    """float32 (n, features) -> (n, classes)."""
    return dense(params["out"], jax.nn.relu(dense(params["hidden"], inputs)))


def _loss(params: Params, data: Data, batch: Batch) -> Scalar:
    inputs, targets = (data[name][batch["index"]] for name in ("inputs", "targets"))
    return jnp.mean(cross_entropy(_logits(params, inputs), targets))


def _evaluate(params: Params, data: Data) -> Scalar:
    def each(examples: Data) -> jax.Array:
        logits = _logits(params, examples["inputs"])
        wrong = jnp.argmax(logits, axis=1) != jnp.argmax(examples["targets"], axis=1)
        return wrong + TIE_BREAK * cross_entropy(logits, examples["targets"])

    return mean_over(data, each)
