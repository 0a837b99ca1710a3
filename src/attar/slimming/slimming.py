"""`attar.slim`: a smaller artefact from an artefact alone."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from attar.artefact import Artefact, load
from attar.condensing import Paths, check_outputs, complete
from attar.data.preprocessing import Preprocessing
from attar.errors import unknown
from attar.listening import Listener
from attar.plan import Plan
from attar.request import Request
from attar.rng import Key
from attar.slimming.components import beginning, ordered
from attar.slimming.plans import plan_for, slimmable_methods
from attar.slimming.request import SlimRequest
from attar.slimming.sizes import check_smaller, components_for, images_for
from attar.synthetic import Layout, Pixels, Synthetic
from attar.synthetic.ordered import OrderedImages

# as text where an artefact was given as an object
_UNNAMED = "artefact"


@dataclass(frozen=True)
class Slimmed:
    """One smaller set.

    Args:
        ipc: its memory in images per class.
        artefact: the set.
        seconds: what making it took.
    """

    ipc: int
    artefact: Artefact
    seconds: float


def slim(
    source: str | Path | Artefact,
    ipc: int | Sequence[int],
    *,
    listener: Listener | None = None,
    **options: Any,
) -> Artefact | list[Artefact]:
    """Shrink a condensed set without the data that it was made from.

    Args:
        source: an artefact or its file, whatever method made it.
        ipc: memory in full float32 images per class, less than it has; several falling ones
            are made one after another, each from the one before.
        listener: told how it goes; silent by default.
        **options: the fields of `attar.slimming.request.SlimRequest`, such as
            ``learning_free=True`` or ``iterations=500``.

    Returns:
        The smaller set, or a list of them where ``ipc`` is a sequence.

    Raises:
        BadRequest: a size that is not smaller, or an option that cannot be carried out.
        ArtefactError: the file is no artefact.
        RunFailed: the run diverged, was interrupted, or a file could not be written.

    Example:
        >>> attar.slim("set.safetensors", 5, learning_free=True)  # doctest: +SKIP
        Artefact(slimmable: 10 classes × 5 images of 3×32×32, 614520 bytes)
    """
    known = SlimRequest.__dataclass_fields__
    for name in options:
        if name not in known:
            raise unknown("option", name, known)
    made = carry_out(source, SlimRequest(ipc, **options), lambda size: listener or Listener())
    found = [one.artefact for one in made]
    return found if isinstance(ipc, Sequence) else found[0]


def carry_out(
    source: str | Path | Artefact,
    request: SlimRequest,
    listener: Callable[[int], Listener],
    done: Callable[[Slimmed], None] = lambda one: None,
) -> list[Slimmed]:
    """Do what `slim` does, from a request.

    Args:
        source: an artefact or its file.
        request: the options.
        listener: what listens to the run of a size.
        done: told of every set when it is there.
    """
    if request.method not in slimmable_methods():
        raise unknown("method", request.method, slimmable_methods())
    artefact = source if isinstance(source, Artefact) else load(source)
    name = _UNNAMED if isinstance(source, Artefact) else Path(source).name
    check_smaller(artefact, request.sizes())
    runs = [request.run_of(size, artefact.card.storage) for size in request.sizes()]
    for run in runs:
        if run.output is not None:
            check_outputs(run, Paths(run.output))
    made = []
    for size in request.sizes():
        begin = time.perf_counter()
        step = _Step(artefact, name, request, size)
        artefact = step.learn(listener(size)) if request.trains else step.keep()
        made.append(Slimmed(size, artefact, time.perf_counter() - begin))
        done(made[-1])
        output = request.output_of(size)
        name = output.name if output is not None else name
    return made


@dataclass(frozen=True)
class _Step:
    """From one set to the next smaller one."""

    artefact: Artefact
    name: str
    request: SlimRequest
    size: int

    def learn(self, listener: Listener) -> Artefact:
        """Train the smaller set."""
        request = self.request
        run = request.run_of(self.size, self.artefact.card.storage)
        plan: Plan = plan_for(self.artefact, run, expand=request.expand, share=request.share)
        plan = dataclasses.replace(
            plan, made_by=self._command(), provenance={"slimmed": self._told()}
        )
        return complete(plan, listener)

    @torch.no_grad()
    def keep(self) -> Artefact:
        """Keep a part of what is there."""
        run = self.request.run_of(self.size, self.artefact.card.storage)
        kept = self._random(run) if self.request.random else self._first(run)
        made = self._with(kept.requires_grad_(False), run.storage)
        if run.output is not None and not (run.resume and run.output.exists()):
            made.save(run.output)
        return made

    def _first(self, run: Request) -> Synthetic:
        whole = ordered(self.artefact, self.request.share)
        count = components_for(whole, self.size, run.storage)
        return beginning(whole, count, expand=self.request.expand)

    def _random(self, run: Request) -> Synthetic:
        given = self.artefact.synthetic
        form = given.parametrization
        if isinstance(given.images, OrderedImages):
            form = Pixels()
        learned = given.labels is not None
        count = images_for(form, given.layout, self.size, run.storage)
        n, key = given.layout.per_class, Key(run.seed).fold("random")
        chosen = [
            torch.randperm(n, generator=key.fold(own).generator())[:count] + own * n
            for own in range(given.layout.classes)
        ]
        rows = torch.cat(chosen)
        layout = Layout(given.layout.classes, len(chosen[0]), given.layout.shape)
        found = Synthetic(layout, form, learned_labels=learned)
        found.images.fit(self.artefact.images[rows])
        if found.labels is not None:
            found.labels.fit(self.artefact.labels[rows])
        return found

    def _with(self, synthetic: Synthetic, storage: str) -> Artefact:
        card, request = self.artefact.card, self.request
        # a set with new labels needs a card that takes label values as they are
        new_labels = synthetic.labels is not None and not card.learned_labels
        own = request.card or ("frepo" if new_labels else None)
        changes: dict[str, Any] = {
            "images_per_class": synthetic.layout.per_class,
            "parametrization": synthetic.parametrization.describe(),
            "learned_labels": synthetic.labels is not None,
            "storage": storage,
            "budget": {
                "ipc": self.size,
                "bytes": None,
                "images_per_class": None,
                "count": "paper",
                "limit": request.run_of(self.size, storage)
                .budget()
                .limit(len(card.class_names), card.shape),
            },
            "settings": {**card.settings, **({"card": own} if own else {})},
            "provenance": {
                **card.provenance,
                "command": self._command(),
                "slimmed": self._told(),
            },
        }
        changed = card.model_copy(update=changes)
        return _stored(changed, synthetic, self.artefact.preprocessing)

    def _command(self) -> str:
        return self.request.command(self.name, self.size)

    def _told(self) -> dict[str, Any]:
        before = self.artefact.card.provenance.get("slimmed")
        how = "random" if self.request.random else self.request.method
        told: dict[str, Any] = {
            "from": self.name,
            "images_per_class": self.artefact.card.images_per_class,
            "by": how if self.request.trains or self.request.random else "learning-free",
        }
        return {**told, "before": before} if before else told


def _stored(card: Any, synthetic: Synthetic, preprocessing: Preprocessing) -> Artefact:
    """Return the artefact with its values rounded as they are stored."""
    dtype = getattr(torch, card.storage)
    values = {name: tensor.to(dtype).float() for name, tensor in synthetic.state_dict().items()}
    synthetic.load_state_dict(values)
    return Artefact(card, synthetic, preprocessing)
