"""Small training tasks on real data, as pure JAX functions: see README.md.

Imports nothing else of this project.
"""

from proxy_tasks.errors import TaskError
from proxy_tasks.knobs import Knobs
from proxy_tasks.protocol import Split, Task, TaskData
from proxy_tasks.table import PRESETS, TASKS, TaskRow, build

__all__ = ["PRESETS", "TASKS", "Knobs", "Split", "Task", "TaskData", "TaskError", "TaskRow", "build"]
