"""evosearch discovers neural-network optimizers by evolving small programs.

The layers, from the bottom up (imports point downwards only; `lint-imports` checks it):

- `primitives`, `proxy_tasks`: the mathematics and the trainings; they know nothing of evosearch.
- `evosearch.language`: programs as text and as values; abstract execution; mutation.
- `evosearch.evaluation`: train a proxy task with a program and score it.
- `evosearch.evolution`, `evosearch.records`, `evosearch.workers`: the history, its record, who computes.
- `evosearch.search`: wires the parts together.
- `evosearch.cli`: commands, and what people see.
"""

__version__ = "0.1.0"
