"""What a call from Python shows: a bar in terminals and notebooks, and the budget that it took."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from attar.condensing.request import Request
from attar.condensing.telling import Callback, Several
from attar.errors import BadRequest


@contextlib.contextmanager
def shown(request: Request, callback: Callback | None, progress: bool | None) -> Iterator[Callback]:
    """Give who is to be told of a run, and end the bar with the block.

    Args:
        request: what is asked for.
        callback: told beside the bar.
        progress: show the bar, and elsewhere lines; None for the bar where it can be drawn. False
            shows nothing.

    Raises:
        BadRequest: a callback that cannot be told.
    """
    _check(callback)
    if not (progress is None or isinstance(progress, bool)):
        raise BadRequest(
            f"progress={progress!r}: True, False, or None for a bar in terminals and notebooks"
        )
    if progress is False:
        yield callback or Callback()
        return
    from attar.condensing.progress import ProgressBar, draws, unasked_budget
    from attar.console import Plain

    console = Plain(stderr=True)
    if progress is None and not draws(console):
        if unasked := unasked_budget(request):
            console.print(f"attar: {unasked}", highlight=False, soft_wrap=True)
        yield callback or Callback()
        return
    bar = ProgressBar(console)
    try:
        yield bar if callback is None else Several(bar, callback)
    finally:
        bar.stop()


def _check(callback: object) -> None:
    if callback is None or isinstance(callback, Callback):
        return
    events = [name for name in vars(Callback) if not name.startswith("_")]
    if isinstance(callback, type) or not all(callable(getattr(callback, e, None)) for e in events):
        raise BadRequest(
            f"callback={callback!r}: an object of a class below attar.Callback is needed, which "
            f"has {', '.join(events)}"
        )
