"""Labels of which an image has several: told apart from classes, and refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from attar.errors import BadRequest

NEXT_STEP = (
    "one class per image is needed: keep the images of one class, or give a label for the class "
    "that counts"
)
SEPARATORS = "|;,"
# what lists are written between, as pandas and json write them
BRACKETS = ("[]", "{}")


def refused(where: str, what: str) -> BadRequest:
    """Return the refusal of multi-label data.

    Args:
        where: the data set, with the line or row.
        what: what shows that an image has several classes.
    """
    return BadRequest(f"{where}: {what}, so these are multi-label data; {NEXT_STEP}")


def joins_others(label: str, labels: Collection[str]) -> bool:
    """Tell whether a label is several of the others with a separator between, as ``A|B``.

    One part suffices with ``|``, which stands in no ordinary name; all are needed with others.
    """
    for separator in SEPARATORS:
        parts = [part.strip() for part in label.split(separator)]
        enough = any if separator == "|" else all
        if len(parts) > 1 and enough(part in labels for part in parts):
            return True
    return False


def is_list(label: str) -> bool:
    """Tell whether a label is a list of several written out, as ``['cat', 'dog']``."""
    inside = label[1:-1].strip().strip(",")
    return label[:1] + label[-1:] in BRACKETS and "," in inside


def refuse_joined(labels: Sequence[str | None], where: Callable[[int], str]) -> None:
    """Refuse labels of which one joins others, or is a list of several.

    Args:
        labels: of the images; None where there is none.
        where: returns how messages call the image at an index.
    """
    distinct = {label for label in labels if label is not None}
    listed = next((label for label in sorted(distinct) if is_list(label)), None)
    if listed is not None:
        raise refused(where(labels.index(listed)), f"the label {listed!r} is a list of several")
    several = next((label for label in sorted(distinct) if joins_others(label, distinct)), None)
    if several is not None:
        raise refused(
            where(labels.index(several)), f"the label {several!r} joins several that others have"
        )
