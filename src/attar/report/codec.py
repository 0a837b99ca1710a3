"""Where a condensed set beats real images in a picture codec at the same bytes, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from attar.evaluation.coded import NAME
from attar.report.comparison import NO_BREAK, Accuracy, Row, percent


def coded_row(rows: Sequence[Row], network: str) -> Accuracy | None:
    """Return what coded real images reach with a network, where that was measured."""
    found = (row.accuracies.get(network) for row in rows if row.name == NAME)
    return next((one for one in found if one is not None), None)


def beside_codec(own: Accuracy, coded: Accuracy | None) -> str:
    """Say plainly which is better, the condensed set or the codec; nothing where it is unknown.

    Args:
        own: of the set: mean and standard deviation in percent, and the number of networks.
        coded: of real images in a picture codec at the same bytes.
    """
    if coded is None:
        return ""
    more = own[0] - coded[0]
    points = f"{abs(more):.1f} points".replace(" ", NO_BREAK)
    told = f" Real images in a picture codec reach {percent(coded)} at the same bytes"
    if own[2] > 1 and abs(more) <= max(own[1], coded[1]):
        return f"{told}, which is within the deviation: condensing gains nothing sure over them."
    if more > 0:
        return f"{told}: condensing beats them by {points}."
    return f"{told}, {points} more: here the codec is the better choice."
