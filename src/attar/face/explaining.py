"""What a request would do, and why, without doing it."""

from __future__ import annotations

from typing import Any, Unpack

from attar.condensing.condense import drafted, images_and_request
from attar.condensing.keywords import CondenseOptions
from attar.condensing.plan import Plan
from attar.condensing.request import Request
from attar.condensing.telling import Callback
from attar.options import request_and_reading
from attar.renaming import keywords
from attar.wording import KEYWORDS


@keywords(**KEYWORDS)
def explain(
    data: Any,
    labels: Any = None,
    *,
    request: Request | None = None,
    **options: Unpack[CondenseOptions],
) -> dict[str, Any]:
    """Return what `attar.condense` would make of the same arguments, and why; nothing is made.

    Args:
        data: as `attar.condense` takes it.
        labels: likewise.
        request: the options as one value.
        **options: as `attar.condense` takes them.

    Returns:
        ``method``; ``chosen``, what ``best`` decided and why, None for another method;
        ``images_per_class``, ``bytes`` and ``limit`` (None for a plain number of images), which
        are estimates where images are coded; ``network``, ``card`` and the ``command`` that asks
        for it.

    Raises:
        BadRequest: the request cannot be carried out.

    Example:
        >>> explain("digits", max_bytes="2.5kB")["method"]
        'random'
    """
    data, request = images_and_request(data, labels, request)
    asked, reading = request_and_reading(Request, options, request)
    return explained(drafted(asked, data, Callback(), **reading))


def explained(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain facts; see `explain`."""
    return {
        "method": plan.request.chosen.name,
        "chosen": None if plan.choice is None else plan.choice.as_dict(),
        "images_per_class": plan.layout.per_class,
        "bytes": plan.ledger.of(plan.request.budget().count),
        "limit": plan.limit,
        "network": plan.network.name,
        "card": plan.recipe.card,
        "command": plan.command,
    }
