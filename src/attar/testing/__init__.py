"""Does a part of your own hold what everything else relies on? One call for each kind of part.

Each runs the part with every counterpart of Attar on tiny data, in seconds, and raises
`NotConforming`, an AssertionError, where something does not hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attar.lazy import importer

if TYPE_CHECKING:
    from attar.testing.checks import check_form, check_network, check_objective, check_selector
    from attar.testing.conformance import NotConforming, Outcome, check_combination
    from attar.testing.tiny import tiny_data, tiny_problem

__all__ = [
    "NotConforming",
    "Outcome",
    "check_combination",
    "check_form",
    "check_network",
    "check_objective",
    "check_selector",
    "tiny_data",
    "tiny_problem",
]

_HOMES = {
    "NotConforming": "attar.testing.conformance",
    "Outcome": "attar.testing.conformance",
    "check_combination": "attar.testing.conformance",
    "check_form": "attar.testing.checks",
    "check_network": "attar.testing.checks",
    "check_objective": "attar.testing.checks",
    "check_selector": "attar.testing.checks",
    "tiny_data": "attar.testing.tiny",
    "tiny_problem": "attar.testing.tiny",
}
__getattr__ = importer(__name__, _HOMES)
