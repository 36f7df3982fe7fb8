"""Export: a program as source that a person would have written, for optax, PyTorch, JAX and LaTeX.

Reading order: `graph` (a program as values), `hyperparameters` (which constants become arguments), `spelling`
(how each primitive is written: one table), `expressions` (lines of readable expressions), `layout`, `names`,
`helpers`, `describe` (docstrings), then a module for each target (`tree_source` is what optax and JAX share),
and `export`.
"""

from evosearch.export.export import TARGETS, Target, export

__all__ = ["TARGETS", "Target", "export"]
