"""A program that is elementwise, or looks at one array at a time, as a PyTorch optimizer.

A function updates one parameter; where PyTorch has every operation for lists of tensors, a second one updates
many at once (foreach).
"""

from __future__ import annotations

from evosearch.export.describe import Subject
from evosearch.export.expressions import FOREACH, Body, write_body
from evosearch.export.layout import STEP, WIDTH, assignment_lines, call_lines, signature_lines
from evosearch.export.torch_parts import (
    FOUR,
    INPUTS,
    REFUSALS,
    STEP_HEAD,
    THRICE,
    TWICE,
    class_head,
    defaults_of,
    slots_method,
    tensors_of,
)


def elementwise_source(subject: Subject, body: Body) -> str:
    """The class and its update functions."""
    lists = None if body.lr_is_tensor else write_body(subject.graph, subject.hyper, FOREACH)
    foreach = lists is not None
    code = [
        *class_head(subject, _no_foreach(body, lists)),
        "",
        *_step(subject, body, foreach=foreach),
        "",
        *REFUSALS,
    ]
    if subject.graph.slots:
        code += ["", *slots_method(subject)]
    code += ["", "", *_single(subject, body)]
    if lists is not None:
        code += ["", "", *_foreach(subject, lists)]
    return "\n".join(code)


def _no_foreach(body: Body, lists: Body | None) -> str:
    """Why many parameters can't be updated at once, or "" if they can."""
    if body.lr_is_tensor:
        return "the program takes a function of `lr`"
    return "" if lists else "PyTorch lacks an operation of the program for lists of tensors"


def _step(subject: Subject, body: Body, *, foreach: bool) -> list[str]:
    return [
        *STEP_HEAD.splitlines(),
        f"{TWICE}chosen = [(group, self._with_gradient(group)) for group in self.param_groups]",
        f"{TWICE}for group, params in chosen:",
        *(_choice() if foreach else [f"{THRICE}self._update(group, params)"]),
        f"{TWICE}return loss",
        "",
        *_update(subject, body),
        *(["", *_update_lists(subject, body)] if foreach else []),
    ]


def _choice() -> list[str]:
    return [
        f'{THRICE}foreach = group["foreach"]',
        f"{THRICE}if foreach is None:",
        f"{FOUR}foreach = all(p.is_cuda for p in params)",
        f"{THRICE}update = self._update_at_once if foreach else self._update",
        f"{THRICE}update(group, params)",
    ]


def _results(subject: Subject) -> list[str]:
    """What an update function returns, in order."""
    return ["update", *(f"new_{slot}" for slot in subject.graph.slots)]


def _hyper_lines(subject: Subject, body: Body) -> list[str]:
    """The hyperparameters of a group as keyword arguments."""
    names = list(defaults_of(subject))
    if not names:
        return []
    quoted = [f'"{name}"' for name in names]
    lines = [f"{TWICE}hyper = {{name: group[name] for name in [{', '.join(quoted)}]}}"]
    if len(lines[0]) > WIDTH:
        lines = [f"{TWICE}names = [", *(f"{THRICE}{name}," for name in quoted), f"{TWICE}]"]
        lines.append(f"{TWICE}hyper = {{name: group[name] for name in names}}")
    if body.lr_is_tensor:
        lines.append(f'{TWICE}hyper["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32)')
    return lines


def _keywords(subject: Subject) -> list[str]:
    return ["**hyper"] if defaults_of(subject) else []


def _update(subject: Subject, body: Body) -> list[str]:
    """The method that updates a group's parameters one after the other."""
    slots = subject.graph.slots
    args = [*(INPUTS[name] for name in tensors_of(subject)), *_keywords(subject)]
    return [
        f"{STEP}def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:",
        f'{TWICE}"""Update parameters one after the other."""',
        *_hyper_lines(subject, body),
        f"{TWICE}for p in params:",
        *([f"{THRICE}state = self._slots(p)"] if slots else []),
        *call_lines(THRICE, f"{', '.join(_results(subject))} = ", "_single_update", args),
        *(f'{THRICE}state["{slot}"].copy_(new_{slot})' for slot in slots),
        f"{THRICE}p.sub_(update)",
    ]


def _update_lists(subject: Subject, body: Body) -> list[str]:
    """The method that updates a group's parameters at once."""
    slots = subject.graph.slots
    sources = {
        "w": "[_float(p) for p in params]",
        "g": "[self._gradient(group, p) for p in params]",
        "m": '[_float(state["m"]) for state in states]',
        "v": '[_float(state["v"]) for state in states]',
    }
    lines = [f"{TWICE}{name} = {sources[name]}" for name in tensors_of(subject)]
    return [
        f"{STEP}def _update_at_once(self, group: dict[str, Any], params: list[Tensor]) -> None:",
        f'{TWICE}"""Update parameters as lists of tensors."""',
        f"{TWICE}if not params:",
        f"{THRICE}return",
        *_hyper_lines(subject, body),
        *([f"{TWICE}states = [self._slots(p) for p in params]"] if slots else []),
        *lines,
        *call_lines(
            TWICE,
            f"{', '.join(_results(subject))} = ",
            "_foreach_update",
            [*tensors_of(subject), *_keywords(subject)],
        ),
        *(
            f'{TWICE}torch._foreach_copy_([state["{slot}"] for state in states], new_{slot})'
            for slot in slots
        ),
        f"{TWICE}torch._foreach_sub_(params, update)",
    ]


def _single(subject: Subject, body: Body) -> list[str]:
    return _function(
        subject, body, "_single_update", "Tensor", "The update of one parameter, and its new state."
    )


def _foreach(subject: Subject, body: Body) -> list[str]:
    return _function(subject, body, "_foreach_update", "Tensors", "The same for lists of parameters.")


def _function(subject: Subject, body: Body, name: str, kind: str, doc: str) -> list[str]:
    hyper = list(defaults_of(subject))
    arguments = [f"{tensor}: {kind}" for tensor in tensors_of(subject)]
    kinds = {"lr": "Tensor"} if body.lr_is_tensor else {}
    arguments += ["*", *(f"{h}: {kinds.get(h, 'float')}" for h in hyper)] if hyper else []
    results = [body.update, *body.slots.values()]
    returns = kind if len(results) == 1 else f"tuple[{', '.join([kind] * len(results))}]"
    if not subject.graph.slots:
        doc = doc.replace(", and its new state", "")
    return [
        *signature_lines("", name, arguments, returns),
        f'{STEP}"""{doc}"""',
        *(text for line in body.lines for text in assignment_lines(STEP, line.name, line.expression)),
        f"{STEP}return {', '.join(results)}",
    ]
