"""What a run was made with: everything outside its YAML that its numbers depend on."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from evosearch import __version__
from evosearch.language.vocabulary import vocabulary_fingerprint
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


def processor() -> str:
    """The processor's name and its widest vector instructions, which decide how floats are rounded."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    name = facts.get("model name", platform.machine())
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    vectors = [flag for flag in ("avx512f", "avx2", "fma", "sve", "asimd") if flag in flags]
    return f"{name} ({' '.join(vectors)})" if vectors else name
