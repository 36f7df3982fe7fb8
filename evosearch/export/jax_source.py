"""A program as two pure functions in plain JAX: `NAME_init` and `NAME_step`."""

from __future__ import annotations

from evosearch.export.describe import Subject, argument_lines, program_blocks, rate_text
from evosearch.export.expressions import Body
from evosearch.export.hyperparameters import number_text
from evosearch.export.layout import STEP, call_lines, described, docstring_lines, head_lines, signature_lines
from evosearch.export.tree_source import module_source, state_lines, tree_body, tree_lines

IMPORTS = ["from typing import Any, NamedTuple", "", "import jax", "import jax.numpy as jnp"]


def jax_source(subject: Subject) -> str:
    """The source of a module with a function that makes the state, and one that takes a step."""
    head = docstring_lines("", f"{subject.class_name} as pure functions in JAX.", program_blocks(subject))
    fields = [f"{slot}: Any" for slot in subject.graph.slots]
    summary = "What is carried from step to step." if fields else "Nothing is carried from step to step."
    body = [*state_lines(subject, fields, summary), "", "", *_init(subject), "", "", *_step(subject)]
    return module_source(head, IMPORTS, body)


def _init(subject: Subject) -> list[str]:
    state = f"{subject.class_name}State"
    slots = subject.graph.slots
    made = [f"{slot}=_zeros(params, state_dtype)" for slot in slots]
    arguments = ["params: Any", *(["state_dtype: Any = None"] if slots else [])]
    dtype = ["The dtype is by default that of the parameters, but float32 at least."]
    return [
        *head_lines("", f"{subject.name}_init", arguments, state),
        *docstring_lines(STEP, "The state before the first step.", [dtype] if slots else []),
        *call_lines(STEP, "return ", state, made),
    ]


def _step(subject: Subject) -> list[str]:
    state = f"{subject.class_name}State"
    body = tree_body(subject)
    sources = {"w": "params", "g": "grads", "m": "state.m", "v": "state.v"}
    used = {name: sources[name] for name in subject.graph.inputs if name in sources}
    inputs = [f"{STEP}{name} = _float({source})" for name, source in used.items()]
    if subject.graph.learning_rate.exists:
        inputs.append(f"{STEP}lr = jnp.asarray(learning_rate, float)")
    after = [f"{slot}=_like({name}, state.{slot})" for slot, name in body.slots.items()]
    return [
        *signature_lines("", f"{subject.name}_step", _arguments(subject), f"tuple[Any, {state}]"),
        *_docstring(subject),
        *inputs,
        "",
        *tree_lines(body, STEP),
        "",
        f"{STEP}params = _like(jax.tree.map(jnp.subtract, {_weights(subject, body)}, {body.update}), params)",
        *call_lines(STEP, "return params, ", state, after),
    ]


def _weights(subject: Subject, body: Body) -> str:
    """The weights as they came: the name w may be another value's by now."""
    still = "w" in subject.graph.inputs and all(line.name != "w" for line in body.lines)
    return "w" if still else "_float(params)"


def _arguments(subject: Subject) -> list[str]:
    rate = subject.graph.learning_rate
    arguments = ["params: Any", "grads: Any", f"state: {subject.class_name}State"]
    if rate.exists:
        arguments.append(f"learning_rate: Any = {number_text(rate.default, 'jnp')}")
    return arguments + [f"{h.name}: Any = {number_text(h.default, 'jnp')}" for h in subject.hyper.all]


def _docstring(subject: Subject) -> list[str]:
    lines = described("params", "The parameters, a tree of arrays.", STEP)
    lines += described("grads", "Their gradients, a tree like the parameters.", STEP)
    lines += described("state", f"What `{subject.name}_init` or the last step gave.", STEP)
    if subject.graph.learning_rate.exists:
        lines += described("learning_rate", rate_text(subject), STEP)
    lines += argument_lines(subject, STEP)
    blocks = [
        ["Arithmetic is done in float32 at least; the parameters keep their dtypes."],
        ["Args:", *lines],
        ["Returns:", f"{STEP}The new parameters and the new state."],
    ]
    return docstring_lines(STEP, f"One step of {subject.class_name}.", blocks)
