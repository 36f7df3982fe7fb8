"""A program as a `torch.optim.Optimizer`."""

from __future__ import annotations

from evosearch.export.describe import Subject, program_blocks
from evosearch.export.expressions import TORCH, write_body
from evosearch.export.helpers import TORCH_HELPERS, needs_epsilon, with_helpers
from evosearch.export.layout import docstring_lines
from evosearch.export.torch_elementwise import elementwise_source
from evosearch.export.torch_whole_tree import whole_tree_source
from evosearch.export.tree_source import EPSILON_LINE


def torch_source(subject: Subject) -> str:
    """The source of a module with one optimizer class."""
    body = write_body(subject.graph, subject.hyper, TORCH)
    assert body is not None, "every primitive has a form in PyTorch"
    whole = subject.graph.looks_at_whole_tree
    code = with_helpers((whole_tree_source if whole else elementwise_source)(subject, body), TORCH_HELPERS)
    head = docstring_lines("", f"{subject.class_name} as an optimizer for PyTorch.", program_blocks(subject))
    imports = [
        "from collections.abc import Callable",
        *(["from types import SimpleNamespace"] if whole else []),
        "from typing import Any",
        "",
        "import torch",
        "from torch import Tensor",
        "from torch.optim.optimizer import ParamsT",
    ]
    constants = [EPSILON_LINE] if needs_epsilon(code) else []
    constants += ["Tensors = tuple[Tensor, ...] | list[Tensor]"] if ": Tensors," in code else []
    if constants:
        constants = ["", *constants]
    return "\n".join(
        [*head, "", "from __future__ import annotations", "", *imports, *constants, "", "", code]
    )
