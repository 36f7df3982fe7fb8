"""What a run was made with: everything outside its YAML that its numbers depend on."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import jax

from evosearch import __version__
from evosearch.language.vocabulary import vocabulary_fingerprint
from evosearch.runtime import processor
from evosearch.search.config import Config


def made_with(config: Config) -> dict[str, Any]:
    """Versions, processor, and fingerprints of vocabulary and data; plain data for `config.yaml`."""
    return {
        "evosearch": __version__,
        "python": platform.python_version(),
        "jax": version("jax"),
        "jaxlib": version("jaxlib"),
        "numpy": version("numpy"),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "device": jax.default_backend(),
        "vocabulary": vocabulary_fingerprint(config.primitives()),
        "data": {
            f"tasks.{index}": task.plan().build().data().fingerprint
            for index, task in enumerate(config.tasks)
        },
    }
