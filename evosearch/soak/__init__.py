"""Breaking searches on purpose, to see that what is promised holds; docs/reliability.md has the promises.

Each module breaks one thing and returns a `Report`. `scripts/soak` runs them long, tests run them short.
"""

from evosearch.soak.report import Report, Show, silent

__all__ = ["Report", "Show", "silent"]
