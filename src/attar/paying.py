"""What compilation costs and gains, as a rule on measured numbers."""

from __future__ import annotations

import time

# seconds that the first step of any method takes, its compilation included, on a machine of
# which a core does the loop of `slowdown` in the seconds below it, with an empty compiler cache
# (up to 54 s for two functions: see the benchmarks page)
COMPILING = 45.0
_LOOP, _LOOPS = 0.009, 10
# how often a compiled step fits into one that is not, at least
GAIN = 2.0
# the most of the time left that may go to compiling
SHARE = 0.2


def pays(step: float, left: float, slowdown: float) -> bool:
    """Return whether compiling lets a run make more updates, without a risk to its end.

    Args:
        step: seconds of an update that is not compiled.
        left: seconds that the run has.
        slowdown: how many times as long as on the machine of `COMPILING` things take here, other
            programs included.
    """
    # the compiled function runs once to be compiled
    cost = COMPILING * slowdown + step / GAIN
    return cost <= SHARE * left and GAIN * (left - cost) > left


def slowdown() -> float:
    """Return how many times as long as on a quiet core of `COMPILING` things take now."""
    begin = time.perf_counter()
    for _ in range(_LOOPS):
        total = 0
        for number in range(200_000):
            total += number * number
    return (time.perf_counter() - begin) / (_LOOP * _LOOPS)
