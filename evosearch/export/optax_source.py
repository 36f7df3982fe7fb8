"""A program as an `optax.GradientTransformation`."""

from __future__ import annotations

from evosearch.export.describe import Subject, argument_lines, decays_weights, program_blocks, rate_text
from evosearch.export.hyperparameters import number_text
from evosearch.export.layout import (
    STEP,
    call_lines,
    described,
    docstring_lines,
    head_lines,
    paragraph,
    signature_lines,
)
from evosearch.export.tree_source import module_source, state_lines, tree_body, tree_lines

TWICE, THRICE = STEP * 2, STEP * 3

IMPORTS = [
    "from typing import Any, NamedTuple",
    "",
    "import jax",
    "import jax.numpy as jnp",
    "import optax",
]

STATE_TEXT = (
    "Dtype of the state. By default that of the parameters, but float32 at least. A string such as "
    '"bfloat16" also passes through optax.inject_hyperparams.'
)
MASK_TEXT = (
    "A tree of booleans like the parameters (or the beginning of one), or a function of the parameters that "
    "gives it; where it is False, weights do not decay."
)


def optax_source(subject: Subject) -> str:
    """The source of a module with one factory, which takes hyperparameters and gives a transformation."""
    graph = subject.graph
    head = docstring_lines(
        "", f"{subject.class_name} as a gradient transformation for optax.", program_blocks(subject)
    )
    fields = [*(["count: jax.Array  # type: ignore[assignment]"] if graph.learning_rate.exists else [])]
    fields += [f"{slot}: optax.Updates" for slot in graph.slots]
    state = state_lines(subject, fields, "What is carried from step to step.") if fields else []
    body = [*state, *(["", ""] if state else []), *_factory(subject)]
    imports = IMPORTS if fields else ["from typing import Any", *IMPORTS[1:]]
    return module_source(head, imports, body)


def _factory(subject: Subject) -> list[str]:
    return [
        *signature_lines("", subject.name, _arguments(subject), "optax.GradientTransformation"),
        *_docstring(subject),
        "",
        *_init(subject),
        "",
        *_update(subject),
        "",
        f"{STEP}return optax.GradientTransformation(init_fn, update_fn)",
    ]


def _arguments(subject: Subject) -> list[str]:
    rate = subject.graph.learning_rate
    arguments = []
    if rate.exists:
        arguments.append(f"learning_rate: optax.ScalarOrSchedule = {number_text(rate.default, 'jnp')}")
    arguments += [f"{h.name}: float = {number_text(h.default, 'jnp')}" for h in subject.hyper.all]
    options = []
    if decays_weights(subject.graph):
        options.append("mask: Any = None")
    if subject.graph.slots:
        options.append("state_dtype: Any = None")
    return [*arguments, *(["*", *options] if options else [])]


def _docstring(subject: Subject) -> list[str]:
    graph = subject.graph
    lines = []
    if graph.learning_rate.exists:
        lines += described("learning_rate", f"{rate_text(subject)} A number or a schedule.", STEP)
    lines += argument_lines(subject, STEP)
    if decays_weights(graph):
        lines += described("mask", MASK_TEXT, STEP)
    if graph.slots:
        lines += described("state_dtype", STATE_TEXT, STEP)
    needs = " It needs the parameters: call `update(grads, state, params)`." if "w" in graph.inputs else ""
    blocks = [
        _wrapped(f"Arithmetic is done in float32 at least; updates get the dtype of the parameters.{needs}")
    ]
    if lines:
        blocks.append(["Args:", *lines])
    if not graph.learning_rate.exists:
        blocks.append(_wrapped("The program has no learning rate: scale its updates with optax.scale."))
    blocks.append(["Returns:", f"{STEP}A gradient transformation."])
    return docstring_lines(STEP, f"The optimizer {subject.class_name}.", blocks)


def _wrapped(text: str) -> list[str]:
    return [line.removeprefix(STEP) for line in paragraph(text, STEP)]


def _state_type(subject: Subject) -> str:
    carries = subject.graph.slots or subject.graph.learning_rate.exists
    return f"{subject.class_name}State" if carries else "optax.EmptyState"


def _init(subject: Subject) -> list[str]:
    state = _state_type(subject)
    fields = ["count=jnp.zeros([], jnp.int32)"] if subject.graph.learning_rate.exists else []
    fields += [f"{slot}=_zeros(params, state_dtype)" for slot in subject.graph.slots]
    return [
        f"{STEP}def init_fn(params: optax.Params) -> {state}:",
        *call_lines(TWICE, "return ", state, fields),
    ]


def _update(subject: Subject) -> list[str]:
    graph, state = subject.graph, _state_type(subject)
    body = tree_body(subject)
    arguments = ["updates: optax.Updates", f"state: {state}", "params: optax.Params | None = None"]
    fields = ["count=optax.safe_increment(state.count)"] if graph.learning_rate.exists else []
    fields += [f"{slot}=_like({name}, state.{slot})" for slot, name in body.slots.items()]
    return [
        *head_lines(STEP, "update_fn", arguments, f"tuple[optax.Updates, {state}]"),
        *_inputs(subject),
        *tree_lines(body, TWICE),
        "",
        *_result(subject, body.update),
        *call_lines(TWICE, "return updates, ", state, fields),
    ]


def _inputs(subject: Subject) -> list[str]:
    graph = subject.graph
    lines = []
    if "w" in graph.inputs:
        need = "this optimizer needs the parameters: call update(updates, state, params)"
        lines += [f"{TWICE}if params is None:", *call_lines(THRICE, "raise ", "ValueError", [f'"{need}"'])]
    sources = {"w": "params", "g": "updates", "m": "state.m", "v": "state.v"}
    lines += [f"{TWICE}{name} = _float({sources[name]})" for name in graph.inputs if name in sources]
    if decays_weights(graph):
        lines += [
            f"{TWICE}if mask is not None:",
            f"{THRICE}keep = mask(params) if callable(mask) else mask",
            f"{THRICE}w = jax.tree.map(lambda k, w: w if k else jax.tree.map(jnp.zeros_like, w), keep, w)",
        ]
    if graph.learning_rate.exists:
        lines += [
            f"{TWICE}lr = learning_rate(state.count) if callable(learning_rate) else learning_rate",
            f"{TWICE}lr = jnp.asarray(lr, float)",
        ]
    return [*lines, ""]


def _result(subject: Subject, update: str) -> list[str]:
    like = "params" if "w" in subject.graph.inputs else "updates if params is None else params"
    return [f"{TWICE}updates = _like(jax.tree.map(jnp.negative, {update}), {like})"]
