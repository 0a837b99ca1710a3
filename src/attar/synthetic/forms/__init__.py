"""Forms of storage: one file each, with the frozen choice and the store that it builds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from attar.errors import unknown
from attar.registry import Registry
from attar.synthetic.forms.addressed import Addressed
from attar.synthetic.forms.bounded import Bounded
from attar.synthetic.forms.decoded import Decoded
from attar.synthetic.forms.form import Parametrization
from attar.synthetic.forms.frequency import Frequency
from attar.synthetic.forms.hallucinated import Hallucinated
from attar.synthetic.forms.low_rank import LowRank
from attar.synthetic.forms.ordered import OrderedSVD
from attar.synthetic.forms.pixels import Pixels
from attar.synthetic.forms.resized import Resized
from attar.synthetic.forms.tiled import Tiled

PARAMETRIZATIONS: Registry[type[Parametrization]] = Registry(
    "form",
    lambda thing: isinstance(thing, type) and issubclass(thing, Parametrization),
    (
        Pixels,
        LowRank,
        Tiled,
        OrderedSVD,
        Decoded,
        Hallucinated,
        Resized,
        Frequency,
        Addressed,
        Bounded,
    ),
)


def from_description(description: Mapping[str, Any]) -> Parametrization:
    """Build a parametrization from what `Parametrization.describe` returned.

    Raises:
        BadRequest: an unknown name or setting.
    """
    settings = dict(description)
    name = str(settings.pop("name", ""))
    if name not in PARAMETRIZATIONS:
        raise unknown("form", name, PARAMETRIZATIONS)
    kind = PARAMETRIZATIONS[name]
    known = {item.name for item in fields(kind)}  # pyright: ignore[reportArgumentType]
    for setting in settings:
        if setting not in known:
            raise unknown(f"setting of the form {name!r}", setting, known)
    if isinstance(settings.get("base"), Mapping):
        settings["base"] = from_description(settings["base"])
    return kind(**settings)
