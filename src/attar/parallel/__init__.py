"""Work in several processes, on this machine or on a Ray cluster.

An `Executor` does tasks: `Here` one after the other, `Processes` several beside each other,
`Cluster` on other machines. Suites and experts use the same three.
"""

from attar.parallel.executor import Executor, Here
from attar.parallel.processes import Processes, visible_devices
from attar.parallel.task import Ended, Task, Tell, attempt

__all__ = [
    "Ended",
    "Executor",
    "Here",
    "Processes",
    "Task",
    "Tell",
    "attempt",
    "visible_devices",
]
