"""A run whose classes are updated by workers, all at the same step.

It has the face of any other run. What the workers hold comes back where it is asked for: for a
checkpoint, a validation, a snapshot and the artefact. So these are the same as of one process, and
a checkpoint goes on with any number of workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from attar.compute import peak_memory
from attar.condensing.crew import Crew, Lost
from attar.condensing.engine import Run, copied
from attar.condensing.shares import Share
from attar.condensing.worker import packed, unpacked
from attar.synthetic import Synthetic, places_apart
from attar.tensors import dotted, nested

_PARTS = ("synthetic", "averaged")


class _Part:
    """What a worker holds of the tensors of a run.

    Args:
        run: the whole.
        share: the classes of the worker.
    """

    def __init__(self, run: Run, share: Share) -> None:
        whole = run.synthetic
        self.labels = share.labels
        self._bases, self._rows = places_apart(whole.parametrization, whole.layout, share.labels)
        self._roles = {role: list(params) for role, params in whole.roles().items()}

    def of(self, name: str) -> Tensor:
        """Return the rows of a stored tensor, or of what an optimiser keeps for a role."""
        return self._rows if name.startswith("labels") else self._bases

    def like(self, role: str, number: str) -> Tensor:
        """Return the tensor that an entry of an optimiser belongs to."""
        return self._roles[role][int(number)]

    def cut(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        """Return the part of a state of the whole."""
        sets = {
            name: nested({one: t[self.of(one)] for one, t in dotted(tree[name]).items()})
            for name in _PARTS
        }
        kept = {
            role: {
                number: {
                    name: value[self.of(role)] if self._rowed(value, role, number) else value
                    for name, value in entry.items()
                }
                for number, entry in entries.items()
            }
            for role, entries in tree["optimisers"].items()
        }
        return {**tree, **sets, "optimisers": kept}

    def _rowed(self, value: Any, role: str, number: str) -> bool:
        return isinstance(value, Tensor) and value.shape == self.like(role, number).shape


class Divided(Run):
    """A run that workers carry out.

    Args:
        run: at its beginning, which is taken over.
        crew: the workers.
    """

    def __init__(self, run: Run, crew: Crew) -> None:
        vars(self).update(vars(run))
        self._crew = crew
        self._parts = [_Part(run, share) for share in crew.shares]
        # the step of what this process holds, and whether the workers hold the same or later
        self._held = self.step
        self._sent = False
        self._memory = 0

    def advance(self) -> float:
        """Do one step of every class; see `Run.advance`.

        Raises:
            Lost: a worker is gone; this run is then at the step of what is held here.
        """
        self._send()
        try:
            losses = self._ask("step", self.share)
        except Lost:
            self.step = self._held
            raise
        self.step += 1
        return sum(losses)

    def probe(self, *, usual: bool = False) -> None:
        """Let every worker do the arithmetic of a step and throw it away."""
        self._send()
        self._memory = sum(self._ask("probe", self.share, usual))

    def memory(self) -> int:
        """Return the most bytes that all processes have held."""
        if self._crew.inside:
            return self._memory
        return self._memory + peak_memory(self.problem.compute.device)

    def present(self) -> None:
        """Find out whether all workers are there.

        Raises:
            Lost: one is not.
        """
        self._ask("present")

    @property
    def iterate(self) -> Synthetic:
        """The set that counts, as the workers have it."""
        self._fetch()
        return super().iterate

    def finite(self) -> bool:
        """Whether every learnt value is a number."""
        self._fetch()
        return super().finite()

    def state_dict(self) -> dict[str, Any]:
        """Return what one process would."""
        self._fetch()
        return super().state_dict()

    def load_state_dict(self, tree: Mapping[str, Any]) -> None:
        """Continue from what one process, or any number of workers, came to."""
        super().load_state_dict(tree)
        self._held, self._sent = self.step, False

    def _ask(self, what: str, *arguments: Any) -> list[Any]:
        return self._crew.ask(what, [arguments] * len(self._parts))

    def _send(self) -> None:
        """Give the workers their parts of what is held here, where they have nothing yet."""
        if self._sent:
            return
        tree = super().state_dict()
        self._crew.ask("load", [(packed(part.cut(tree)),) for part in self._parts])
        self._sent = True

    @torch.no_grad()
    def _fetch(self) -> None:
        """Bring what the workers hold here, where it is later than what is."""
        if self._held == self.step:
            return
        try:
            trees = [unpacked(state) for state in self._ask("state")]
        except Lost:
            self.step = self._held
            raise
        for name, whole in zip(_PARTS, (self.synthetic, self.averaged), strict=True):
            if whole is None:
                continue
            stored = whole.state_dict()
            for part, tree in zip(self._parts, trees, strict=True):
                for one, tensor in dotted(tree[name]).items():
                    stored[one][part.of(one)] = tensor.to(stored[one])
        device = self.problem.compute.device
        found = [(p.labels, tree["state"]) for p, tree in zip(self._parts, trees, strict=True)]
        self.state = copied(self.objective.joined(found), device)
        kept = self._optimisers([tree["optimisers"] for tree in trees])
        self.updater.load_state_dict(copied(kept, device))
        self._held = self.step

    def _optimisers(self, trees: list[Mapping[str, Any]]) -> dict[str, Any]:
        """Return what the optimisers of the whole keep."""
        found: dict[str, Any] = {}
        for role, entries in trees[0].items():
            found[role] = {}
            for number, entry in entries.items():
                like = self._parts[0].like(role, number)
                found[role][number] = {
                    name: self._joined(role, like, [tree[role][number][name] for tree in trees])
                    for name in entry
                }
        return found

    def _joined(self, role: str, like: Tensor, values: list[Any]) -> Any:
        """Return an entry of the whole: rows put together, or what all have."""
        first = values[0]
        if not isinstance(first, Tensor) or first.ndim != like.ndim or not first.ndim:
            return first
        whole = torch.empty_like(like, dtype=first.dtype, device="cpu")
        for part, value in zip(self._parts, values, strict=True):
            whole[part.of(role)] = value
        return whole
