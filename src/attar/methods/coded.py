"""Real images in the picture codec that suits the bytes: what `coded` decides; free of torch."""

from __future__ import annotations

from collections.abc import Sequence

from attar.errors import BadRequest
from attar.methods.catalogue import CODED
from attar.methods.choice import Choice, Wanted

_WHAT = f"--method {CODED}"


def coded(wanted: Wanted) -> Sequence[Choice]:
    """Return form and storage of each way that fits, best first; none where both are given.

    So the command that repeats an earlier choice chooses nothing.

    Raises:
        BadRequest: one of them is given, there is no limit of bytes, or these hold too little.
    """
    given = wanted.given & {"form", "storage"}
    if len(given) == 1:
        raise BadRequest(
            f"{_WHAT} chooses --form and --storage together; leave both out, or give both"
        )
    if given:
        return ()
    if wanted.bytes is None:
        raise BadRequest(
            f"{_WHAT} finds how many images fit; give --ipc or --bytes in place of "
            "--images-per-class"
        )
    found = [
        Choice(CODED, one.why, options={"form": one.form, "storage": one.storage})
        for one in wanted.codings()
    ]
    if not found:
        raise BadRequest(
            f"{_WHAT}: {wanted.bytes} bytes hold no coded image of each class (not one way fits); "
            "give more bytes"
        )
    return found
