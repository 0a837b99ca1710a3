"""What a complete run says to a request that resumes it, before anything is trained for it."""

from __future__ import annotations

from attar.artefact.artefact import Artefact
from attar.artefact.loading import load
from attar.condensing.paths import Paths
from attar.condensing.real_start import CodedStart
from attar.condensing.request import Request
from attar.errors import BadRequest
from attar.synthetic import Filled


def finished(request: Request) -> Artefact | None:
    """Return what the run that a request resumes has made, where it is complete; or None."""
    if request.output is None or not request.resume:
        return None
    paths = Paths(request.output)
    return load(paths.output) if paths.output.exists() and not paths.unfinished else None


def filled_before(done: Artefact, request: Request, coded: CodedStart) -> Filled | None:
    """Return the layout of a complete run, which to find again a network would have to be trained.

    The same budget and, as is compared later, the same of all else gave it. None where it is found
    without any training, or is of other data.

    Args:
        done: what the run made.
        request: that resumes it.
        coded: the real images that the layout is found by.

    Raises:
        BadRequest: another budget is asked for.
    """
    layout, data = done.header.layout, coded.data
    if not coded.selector.passes(data) or (layout.classes, layout.shape) != (
        data.classes,
        data.shape,
    ):
        return None
    budget = request.budget()
    told = {**budget.as_dict(), "limit": budget.limit(data.classes, data.shape)}
    odd = [name for name, value in told.items() if done.header.budget.get(name) != value]
    if odd:
        before, now = ({name: one.get(name) for name in odd} for one in (done.header.budget, told))
        raise BadRequest(
            f"--resume: the run of {request.output} is complete, with a budget of {before}, and "
            f"{now} is asked for; give the same, or --overwrite to start again"
        )
    return Filled(coded.form, layout, done.ledger)
