"""``--storage auto``: bits against images in the same bytes, by short trial runs.

Each storage that the form can keep is tried for the same time, or the same number of updates, with
as many images as it holds; a network trained on what its file would give back tells, on held-out
training images, which serves best.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from attar.artefact.header import CHOSEN
from attar.condensing import checkpoint, engine
from attar.condensing.engine import Run
from attar.condensing.paths import Paths
from attar.condensing.plan import Plan
from attar.condensing.request import AUTO, Request
from attar.condensing.validating import Validator
from attar.data import Splits
from attar.data.reading import Watch
from attar.errors import BadRequest
from attar.methods import Choice
from attar.tensors import read_header
from attar.text import counted

# the finest first; of few bits, values are seen rounded while they are learnt
CANDIDATES = (
    *("float32", "float16", "int8", "int4:rate=3.5"),
    *("int3:rate=2.5,train=0.5", "int2:rate=1.5,train=0.5"),
)
# labels are few values, and lose much by few bits
_LABELS = "labels=int8"
_FINE = ("float32", "float16", "int8")
# of the minutes, what all trials take; of each trial, what its validation does
_SHARE, _JUDGED = 0.25, 0.5
# of the updates, those of one trial, and their bounds
_PART, _LEAST, _MOST = 0.05, 10, 100
# where no clock runs, networks that judge have a part of the epochs of a validation, and at least
# so many
_BRIEF, _FEWEST = 4, 10
_HELD_OUT = 0.1
_WHAT = f"--storage {AUTO}"
_BY = "storage auto"

PlanOf = Callable[[Request], Plan]


@dataclass(frozen=True)
class Trial:
    """What came of one storage.

    Args:
        storage: as text.
        plan: of the trial.
        accuracy: in percent, on held-out images.
    """

    storage: str
    plan: Plan
    accuracy: float = 0.0

    def __str__(self) -> str:
        return f"{self.storage} {self.accuracy:.1f} % ({self.plan.layout.per_class} images a class)"


def with_storage(
    request: Request,
    choice: Choice | None,
    splits: Splits,
    plan_of: PlanOf,
    watch: Watch | None = None,
    *,
    tried: bool = True,
) -> tuple[Request, Choice]:
    """Return a request with a storage in place of ``auto``, and what was chosen.

    Args:
        request: with ``--storage auto``.
        choice: what its method has decided already, if it does.
        splits: the data; the test part is not looked at.
        plan_of: makes the plan of a trial.
        watch: told how many storages were tried.
        tried: whether they are tried; else the finest that fits is taken.

    Raises:
        BadRequest: there is no budget of bytes, nothing that could tell, or no storage that the
            form can keep.
        RunFailed: a trial diverged.
    """
    _refuse(request, splits)
    found = _begun(request)
    if found is None:
        trials = _planned(request, splits, plan_of)
        if tried and len(trials) > 1:
            found = _best(request, trials, watch)
        else:
            told = "the only one that was tried" if tried else "the finest that fits"
            found = Choice(request.chosen.name, told, options={"storage": trials[0].storage})
    made = dataclasses.replace(request, storage=str(found.options["storage"]))
    found = dataclasses.replace(found, by=_BY)
    return made, found if choice is None else _joined(choice, found)


def _joined(choice: Choice, storage: Choice) -> Choice:
    return dataclasses.replace(
        choice,
        by=f"{choice.by} and {storage.by}",
        why=f"{choice.why}; {storage.why}",
        options={**choice.options, **storage.options},
    )


def _refuse(request: Request, splits: Splits) -> None:
    train, method = splits.train, request.chosen
    if method.coreset:
        raise BadRequest(
            f"{_WHAT}: method {method.name!r} never updates images; --method coded finds how real "
            "ones are best kept"
        )
    if request.budget().limit(train.classes, train.shape) is None:
        raise BadRequest(
            f"{_WHAT} spends a budget of bytes on bits against images; give --bytes or --ipc in "
            "place of --images-per-class, or name a storage"
        )
    if train.classes < 2 or min(map(len, train.indices_of_class)) < 2:
        raise BadRequest(
            f"{_WHAT} is decided on held-out training images of two classes or more, and of "
            f"{train.name} none can be held out; name one, such as int4:rate=3.5"
        )


def _begun(request: Request) -> Choice | None:
    """Return what an earlier part of the run chose, where there is one to resume."""
    if not request.resume or request.output is None:
        return None
    paths = Paths(request.output)
    begun = paths.begun or paths.output
    kept = checkpoint.settings_of(begun).get("storage")
    if not isinstance(kept, str):
        return None
    why = _why(paths.output) or "so the run began, and goes on"
    return Choice(request.chosen.name, why, options={"storage": kept})


def _why(output: Path) -> str:
    """Return the reason that a complete artefact tells."""
    header = read_header(output) if output.exists() else {}
    told = header.get("provenance")
    chosen = told.get(CHOSEN) if isinstance(told, Mapping) else None
    why = chosen.get("why") if isinstance(chosen, Mapping) else None
    return why if isinstance(why, str) else ""


def _planned(request: Request, splits: Splits, plan_of: PlanOf) -> list[Trial]:
    """Return the storages worth a trial: coarser ones only as long as they hold more images."""
    most = min(map(len, splits.train.indices_of_class))
    found: list[Trial] = []
    refused: list[BadRequest] = []
    for storage in CANDIDATES:
        try:
            plan = _plan(request, storage, plan_of)
        except BadRequest as error:
            refused.append(error)
            continue
        if uncoded := plan.recipe.parametrization.uncoded:
            form = plan.recipe.parametrization.name
            raise BadRequest(
                f"{_WHAT}: the form {form!r} keeps no fewer bits, since "
                f"{uncoded}; leave it out, or give float16"
            )
        held = plan.layout.per_class
        if not found or held > found[-1].plan.layout.per_class:
            found.append(Trial(plan.request.stored_as, plan))
        if held >= most:
            break
    if not found:
        raise refused[-1]
    return found


def _plan(request: Request, storage: str, plan_of: PlanOf) -> Plan:
    """Return the plan of a trial."""
    trial = dataclasses.replace(
        request,
        storage=storage,
        torch_compile="off" if request.torch_compile == "auto" else request.torch_compile,
        validations=1,
        **dict.fromkeys(("output", "snapshots", "tensorboard", "logger")),
        resume=False,
        overwrite=False,
    )
    plan = plan_of(trial)
    if plan.recipe.learned_labels and storage not in _FINE:
        trial = dataclasses.replace(trial, storage=f"{storage},{_LABELS}")
        plan = plan_of(trial)
    changes = {}
    if plan.held_out is None:
        changes["validation"] = _HELD_OUT
    if request.minutes is None:
        steps = round(_PART * plan.recipe.iterations)
        changes["iterations"] = min(plan.recipe.iterations, max(_LEAST, min(_MOST, steps)))
    return plan_of(dataclasses.replace(trial, **changes)) if changes else plan


def _best(request: Request, trials: list[Trial], watch: Watch | None) -> Choice:
    """Return the storage of the best trial; of equals, the finest."""
    seconds = None
    if request.minutes is not None:
        seconds = _SHARE * 60 * request.minutes / len(trials)
    found: list[Trial] = []
    for trial in trials:
        if watch is not None:
            watch("trying storages", len(found), len(trials))
        accuracy = _accuracy(trial.plan, seconds)
        found.append(dataclasses.replace(trial, accuracy=accuracy))
    if watch is not None:
        watch("trying storages", len(trials), len(trials))
    best = max(found, key=lambda one: one.accuracy)
    held = best.plan.held_out
    assert held is not None
    length = (
        counted(best.plan.recipe.iterations, "update")
        if seconds is None
        else f"{seconds:.0f} s each"
    )
    why = (
        f"the best of {len(found)} in trial runs of {length}, judged by a network on {len(held)} "
        f"held-out training images: {', '.join(map(str, found))}"
    )
    return Choice(request.chosen.name, why, options={"storage": best.storage})


def _accuracy(plan: Plan, seconds: float | None) -> float:
    """Return what a network learns from a short run, its set read as a file gives it back."""
    began = time.perf_counter()
    run = plan.run()

    def share() -> float:
        if seconds is None:
            return run.step / max(1, plan.recipe.iterations)
        return (time.perf_counter() - began) / ((1 - _JUDGED) * seconds) if run.step else 0.0

    def after(run: Run, loss: float) -> None:
        del loss
        run.share = min(1.0, share())

    engine.loop(run, lambda _: share() >= 1, after)
    validator = Validator(plan, timed=seconds is not None, kept=True)
    usual = validator.epochs(run)
    epochs = max(_FEWEST, usual // _BRIEF)
    if seconds is not None:
        cost = validator.cost(run)
        fit = int((_JUDGED * seconds - cost.test) / max(cost.epoch, 1e-9))
        epochs = max(1, min(usual, fit))
    hits = validator.hits(run, epochs)
    return hits.balanced if plan.selects_balanced else hits.accuracy
