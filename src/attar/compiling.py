"""Whether a run that the clock ends gains from compilation: decided by what is measured.

A run of a number of updates goes by the rule of `attar.compute` instead, so that it repeats.
"""

from __future__ import annotations

import dataclasses
import time

from attar import compute as computing
from attar.plan import Plan

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


def settled(plan: Plan, left: float) -> Plan:
    """Return a plan of ``--minutes`` with compilation where it pays.

    Args:
        plan: not compiled, and not begun.
        left: seconds that the run has.
    """
    request = plan.request
    # where even a step of no time at all would not pay, no step is tried
    if request.compile != "auto" or not pays(0.0, left, here := slowdown()):
        return plan
    run = plan.run(blank=True)
    begin = time.perf_counter()
    run.probe()
    spent = time.perf_counter() - begin
    if not pays(spent, left - spent, here):
        return plan
    compute = computing.choose(request.device, request.precision, "on", chunk=request.chunk)
    return dataclasses.replace(plan, compute=compute)
