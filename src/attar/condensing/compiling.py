"""Whether a run that the clock ends gains from compilation: decided by what is measured.

A run of a number of updates goes by the rule of `attar.compute` instead, so that it repeats.
"""

from __future__ import annotations

import dataclasses
import time

from attar import compute as computing
from attar.condensing.plan import Plan
from attar.paying import pays, slowdown


def settled(plan: Plan, left: float) -> Plan:
    """Return a plan of ``--minutes`` with compilation where it pays.

    Args:
        plan: not compiled, and not begun.
        left: seconds that the run has.
    """
    request = plan.request
    # where even a step of no time at all would not pay, no step is tried
    if request.torch_compile != "auto" or not pays(0.0, left, here := slowdown()):
        return plan
    run = plan.run(blank=True)
    begin = time.perf_counter()
    run.probe()
    spent = time.perf_counter() - begin
    if not pays(spent, left - spent, here):
        return plan
    # as many images a call as the plan found that memory holds
    compute = computing.choose(request.device, request.precision, "on", chunk=plan.compute.chunk)
    return dataclasses.replace(plan, compute=compute)
