"""What the two kinds of exported PyTorch optimizers share: class, arguments, docstring, refusals, state."""

from __future__ import annotations

from evosearch.export.describe import Subject, argument_lines, rate_text
from evosearch.export.hyperparameters import number_text
from evosearch.export.layout import STEP, described, docstring_lines, paragraph, signature_lines
from evosearch.export.spelling import SPELLED

TWICE, THRICE, FOUR = STEP * 2, STEP * 3, STEP * 4

INPUTS = {
    "w": "_float(p)",
    "g": "self._gradient(group, p)",
    "m": '_float(state["m"])',
    "v": '_float(state["v"])',
}
"""How the inputs of one parameter's update are got."""


def tensors_of(subject: Subject) -> list[str]:
    """The inputs that are tensors, in order."""
    return [name for name in subject.graph.inputs if name != "lr"]


def defaults_of(subject: Subject) -> dict[str, str]:
    """Each hyperparameter and its default."""
    rate = subject.graph.learning_rate
    found = {"lr": number_text(rate.default, "torch")} if rate.exists else {}
    return found | {h.name: number_text(h.default, "torch") for h in subject.hyper.all}


def class_head(subject: Subject, no_foreach: str) -> list[str]:
    """The class up to the end of `__init__`; `no_foreach` says why there is no foreach path, if so."""
    foreach = not no_foreach
    hyper = defaults_of(subject)
    arguments = ["self", "params: ParamsT", *(f"{name}: float = {value}" for name, value in hyper.items())]
    arguments += ["*", "maximize: bool = False", *(["foreach: bool | None = None"] if foreach else [])]
    names = [*hyper, "maximize", *(["foreach"] if foreach else [])]
    return [
        f"class {subject.class_name}(torch.optim.Optimizer):",
        *_docstring(subject, no_foreach),
        "",
        *signature_lines(STEP, "__init__", arguments, "None"),
        *_checks(subject),
        f"{TWICE}defaults: dict[str, Any] = {{",
        *(f'{THRICE}"{name}": {name},' for name in names),
        f"{TWICE}}}",
        f"{TWICE}super().__init__(params, defaults)",
    ]


def _checks(subject: Subject) -> list[str]:
    lines = []
    for h in subject.hyper.all:
        if h.unit:
            message = f'f"expected {h.name} from 0 to 1, found {{{h.name}}}"'
            lines += [f"{TWICE}if not 0 <= {h.name} <= 1:", f"{THRICE}raise ValueError({message})"]
    return lines


def _docstring(subject: Subject, no_foreach: str) -> list[str]:
    rate = subject.graph.learning_rate
    lines = described("params", "Parameters, or groups of them with hyperparameters of their own.", STEP)
    if rate.exists:
        lines += described("lr", rate_text(subject), STEP)
    lines += argument_lines(subject, STEP)
    lines += described("maximize", "Go up instead of down.", STEP)
    if not no_foreach:
        text = "Update lists of parameters at once, which takes more memory and is faster where kernels are "
        text += "short. By default only where all parameters of a group are on a GPU."
        lines += described("foreach", text, STEP)
    return docstring_lines(
        STEP, f"The optimizer {subject.class_name}.", [*_remarks(subject, no_foreach), ["Args:", *lines]]
    )


def _remarks(subject: Subject, no_foreach: str) -> list[list[str]]:
    text = "Arithmetic is done in float32 at least. "
    if subject.graph.slots:
        text += "The state has the dtype of the parameters. "
    text += "Sparse gradients and complex parameters are refused."
    if subject.graph.looks_at_whole_tree:
        text += (
            " Norms and inner products of the whole tree run over all parameters of this optimizer that have "
            "a gradient, whatever their group."
        )
    text += f" There is no foreach path: {no_foreach}." if no_foreach else ""
    for note in dict.fromkeys(SPELLED[node.name].torch_note for node in subject.graph.applied):
        text += f" {note}" if note else ""
    if not subject.graph.learning_rate.exists:
        text += " The program has no learning rate, so schedulers do not act on it."
    return [[line.removeprefix(STEP) for line in paragraph(text, STEP)]]


STEP_HEAD = f'''\
{STEP}@torch.no_grad()
{STEP}def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
{TWICE}"""Take one step; `closure`, if given, computes the loss and the gradients first."""
{TWICE}loss = None
{TWICE}if closure is not None:
{THRICE}with torch.enable_grad():
{FOUR}loss = closure()'''

REFUSALS = f'''\
{STEP}def _with_gradient(self, group: dict[str, Any]) -> list[Tensor]:
{TWICE}"""The parameters of a group that have a gradient, all of which can be updated."""
{TWICE}name = type(self).__name__
{TWICE}params = [p for p in group["params"] if p.grad is not None]
{TWICE}for p in params:
{THRICE}if p.is_complex():
{FOUR}raise RuntimeError(f"{{name}} does not take complex tensors: use torch.view_as_real")
{THRICE}if p.grad.layout is not torch.strided:
{FOUR}raise RuntimeError(f"{{name}} does not take sparse gradients: make them dense")
{TWICE}return params

{STEP}def _gradient(self, group: dict[str, Any], p: Tensor) -> Tensor:
{TWICE}"""The gradient of a parameter, downhill."""
{TWICE}assert p.grad is not None
{TWICE}return -_float(p.grad) if group["maximize"] else _float(p.grad)'''.splitlines()
"""The methods that read parameters and gradients, and refuse what the optimizer can't update."""


def slots_method(subject: Subject) -> list[str]:
    """The method that makes the state of a parameter."""
    return [
        f"{STEP}def _slots(self, p: Tensor) -> dict[str, Tensor]:",
        f'{TWICE}"""The state of a parameter, zeros before its first step."""',
        f"{TWICE}state = self.state[p]",
        f"{TWICE}if not state:",
        *(
            f'{THRICE}state["{slot}"] = torch.zeros_like(p, memory_format=torch.preserve_format)'
            for slot in subject.graph.slots
        ),
        f"{TWICE}return state",
    ]
