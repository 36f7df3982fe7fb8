"""What a run was made with: everything outside its YAML that its numbers depend on."""

from __future__ import annotations

from typing import Any

from evosearch.config.surroundings import surroundings
from evosearch.evaluation.interpreters import choose
from evosearch.language.vocabulary import vocabulary_fingerprint
from evosearch.search.config import Config


def made_with(config: Config) -> dict[str, Any]:
    """Versions, processor, interpreter, fingerprints of vocabulary and data; plain data for `config.yaml`."""
    return {
        **surroundings(),
        "interpreter": choose(config.evaluation.interpreter).name,
        "vocabulary": vocabulary_fingerprint(config.primitives()),
        "data": {
            f"tasks.{index}": task.plan().build().data().fingerprint
            for index, task in enumerate(config.tasks)
        },
    }
