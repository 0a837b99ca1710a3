"""What every combination of an objective, a form and a network does, or is refused.

Nothing here is about a part in particular: whoever brings one gets resume, artefacts and all else
for it as long as these hold.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from attar.artefact.artefact import Artefact, preprocessing_fields
from attar.artefact.header import Header
from attar.artefact.loading import load
from attar.condensing.composition import form_text
from attar.condensing.engine import Run
from attar.errors import BadRequest
from attar.objectives import NOTHING, Match, Objective, Problem, State
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import Parametrization
from attar.tensors import flatten, read_header, read_tensors, save_tensors, unflatten
from attar.testing.tiny import tiny_run

# steps with one draw, in which the loss has to fall
_STEPS = 8
_RATE = 0.01


class NotConforming(AssertionError):
    """A part does not do what every part has to; says which combination, and what it did."""


@dataclass(frozen=True)
class Outcome:
    """What became of one combination.

    Args:
        what: the combination, in words.
        refused: the reason, where it was refused; otherwise empty, and it held everything.
    """

    what: str
    refused: str = ""


def check_combination(
    objective: Objective,
    form: Parametrization,
    problem: Problem,
    *,
    learned_labels: bool = False,
    lowers: bool = True,
) -> Outcome:
    """Run an objective on a set in a form, or find that this is refused with a reason.

    Matching twice gives the same and changes nothing; a step moves every image; the set is saved
    and loads as the same images and labels; a run that is resumed goes on to the same bits; and
    steps with one draw of everything random lower the loss.

    Args:
        objective: with settings for few images.
        form: for images of the problem's shape.
        problem: such as `tiny_problem` returns.
        learned_labels: whether labels are learnt.
        lowers: whether the loss has to fall; False for an objective whose gradients are not those
            of its loss.

    Raises:
        NotConforming: something of this does not hold.
    """
    labels = "learnt" if learned_labels else "fixed"
    what = f"{objective.name} in {form_text(form)}, labels {labels}, {problem.network.name}"

    def fresh(driver: Objective = objective, optimiser: Optimiser | None = None) -> Run:
        return tiny_run(driver, problem, form, learned_labels=learned_labels, optimiser=optimiser)

    try:
        run = fresh()
        _check_pure(run, what)
        begun = flatten(run.state_dict())
        run.advance()
    except BadRequest as refusal:
        if not str(refusal).strip():
            raise NotConforming(f"{what}: it is refused without a reason") from refusal
        return Outcome(what, str(refusal))
    _check_moved(fresh(), run, begun, what)
    with tempfile.TemporaryDirectory(prefix="attar-testing-") as folder:
        _check_resume(run, fresh(), Path(folder) / "checkpoint.safetensors", what)
        _check_artefact(run, Path(folder) / "set.safetensors", what)
    if lowers:
        held = _Held(objective, Key(0).fold("held"))
        _check_lowers(fresh(held, Optimiser(_RATE, kind="adam")), what)
    return Outcome(what)


def require(holds: bool, what: str, failure: str) -> None:
    """Raise where something does not hold.

    Raises:
        NotConforming: says what was looked at, and how it fails.
    """
    if not holds:
        raise NotConforming(f"{what}: {failure}")


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two trees of tensors and values are equal bit for bit."""
    tensors, rest = flatten(one)
    others, other_rest = flatten(other)
    return (
        rest == other_rest
        and tensors.keys() == others.keys()
        and all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())
    )


def artefact_of(run: Run) -> Artefact:
    """Return what a run has made so far, with a header of no more than it takes."""
    data = run.problem.data
    header = Header(
        class_names=list(data.class_names),
        shape=data.shape,
        images_per_class=run.problem.layout.per_class,
        parametrization=run.synthetic.parametrization.describe(),
        **preprocessing_fields(data.preprocessing),
        learned_labels=run.synthetic.labels is not None,
    )
    return Artefact(header, run.synthetic, data.preprocessing)


def _check_pure(run: Run, what: str) -> None:
    """Check that matching twice gives the same gradients of right shapes, and changes nothing."""
    key = run.key.fold("step", 0)
    before = run.state_dict()
    learned = {name: value.detach() for name, value in run.learned.items()}
    index = run.objective.select(run.problem, run.state, key)
    with torch.no_grad():
        images, labels = run.synthetic(index)

    def once() -> Match:
        given = images.clone(), labels.clone(), run.problem, run.state, key
        return run.objective.match(*given, learned)

    first, second = once(), once()
    require(first.loss.ndim == 0, what, "match returns a loss that is no single number")
    for name, slope, value in (("images", first.images, images), ("labels", first.labels, labels)):
        fits = slope is None or slope.shape == value.shape
        require(fits, what, f"match returns a gradient for {name} of another shape than theirs")
    require(same(_told(first), _told(second)), what, "match called twice gives two results")
    require(same(before, run.state_dict()), what, "match changes the state or the set")


def _told(match: Match) -> dict[str, Any]:
    parts: dict[str, Tensor | None] = {
        "loss": match.loss,
        "images": match.images,
        "labels": match.labels,
    }
    own: dict[str, Any] = {name: value for name, value in parts.items() if value is not None}
    return own | {"learned": dict(match.learned)}


def _check_moved(before: Run, after: Run, begun: Any, what: str) -> None:
    """Check that a step moved every image, and that runs with one key begin alike."""
    require(same(unflatten(*begun), before.state_dict()), what, "two runs with one key differ")
    require(after.finite(), what, "a step leaves values that are NaN or infinite")
    every = torch.arange(len(before.synthetic))
    with torch.no_grad():
        moved = before.synthetic(every)[0] != after.synthetic(every)[0]
    # a step may need a part of the rows
    index = after.objective.select(after.problem, before.state, after.key.fold("step", 0))
    whole = bool(moved.flatten(1).any(dim=1)[index].all())
    require(whole, what, "a step leaves images that it matched as they were")


def _check_resume(run: Run, resumed: Run, path: Path, what: str) -> None:
    """Check that a run goes on from a file as it does by itself; both take two steps."""
    tensors, rest = flatten(run.state_dict())
    save_tensors(path, tensors, {"rest": rest})
    losses = [run.advance() for _ in range(2)]
    # what a run draws depends on its key alone
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        header = read_header(path)
        resumed.load_state_dict(unflatten(read_tensors(path), header["rest"]))
        again = [resumed.advance() for _ in range(2)]
    require(again == losses, what, f"resumed, its losses are {again}, not {losses}")
    equal = same(run.state_dict(), resumed.state_dict())
    require(equal, what, "resumed, it ends in other values")


def _check_artefact(run: Run, path: Path, what: str) -> None:
    """Check that what a run has made is saved and loads as the same set."""
    made = artefact_of(run)
    made.save(path)
    loaded = load(path)
    for name in ("images", "labels"):
        equal = torch.equal(getattr(loaded, name), getattr(made, name))
        require(equal, what, f"saved and loaded, it has other {name}")
    require(loaded.nbytes == made.nbytes, what, "saved and loaded, it counts other bytes")


def _check_lowers(run: Run, what: str) -> None:
    losses = [run.advance() for _ in range(_STEPS)]
    told = f"{_STEPS} steps with one draw do not lower the loss: {losses[0]:g} to {losses[-1]:g}"
    require(losses[-1] < losses[0], what, told)


@dataclass(frozen=True)
class _Held(Objective):
    """An objective that matches the same draw at every step, in the state that it began with."""

    inner: Objective
    key: Key

    name: ClassVar[str] = "held"

    def init(self, problem: Problem, key: Key) -> State:
        return self.inner.init(problem, key)

    def learned(self, problem: Problem) -> Mapping[str, Tensor]:
        return self.inner.learned(problem)

    def select(self, problem: Problem, state: State, key: Key) -> Tensor:
        return self.inner.select(problem, state, self.key)

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        return self.inner.match(images, labels, problem, state, self.key, learned)

    def check(self, problem: Problem) -> None:
        self.inner.check(problem)
