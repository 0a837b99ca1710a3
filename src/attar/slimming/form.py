"""The forms of ordered components."""

from __future__ import annotations

import dataclasses

from attar.synthetic import LowRank, OrderedSVD, Parametrization


def with_components(form: Parametrization, count: int) -> Parametrization:
    """Return a form of ordered components with another number of them; 0 for one per image."""
    if isinstance(form, LowRank):
        return dataclasses.replace(form, base=with_components(form.base, count))
    assert isinstance(form, OrderedSVD)
    return dataclasses.replace(form, components=count)
