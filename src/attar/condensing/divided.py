"""A run whose classes are updated by workers, each its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from attar.condensing.crew import Call, Crew, Replacing
from attar.condensing.crewed import Crewed
from attar.condensing.engine import Run, copied
from attar.condensing.worker import packed, unpacked
from attar.synthetic import places_apart
from attar.tensors import dotted, nested

_PARTS = ("synthetic", "averaged")


class _Part:
    """What a worker holds of the tensors of a run.

    Args:
        run: the whole.
        labels: of the classes of the worker.
    """

    def __init__(self, run: Run, labels: range) -> None:
        whole = run.synthetic
        self.labels = labels
        self._bases, self._rows = places_apart(whole.parametrization, whole.layout, labels)
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


class Divided(Crewed):
    """A run whose classes workers share.

    Args:
        run: at its beginning, which is taken over.
        crew: the workers.
    """

    def __init__(self, run: Run, crew: Crew) -> None:
        super().__init__(run, crew)
        self._parts = [_Part(run, share.labels) for share in crew.shares if share.labels]
        if isinstance(crew, Replacing):
            crew.since = self._since

    @staticmethod
    def _loss(losses: list[float]) -> float:
        return sum(losses)

    def _since(self, number: int) -> list[Call]:
        """Return the calls that bring a new worker from what is held here to where the others are.

        What is drawn follows from keys, so it comes to the same bits.
        """
        held = {**Run.state_dict(self), "step": self._held}
        again = self.step - self._held
        return [
            ("load", (packed(self._parts[number].cut(held)),)),
            *[("step", (self.share,))] * again,
        ]

    def _parted(self, tree: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        return [part.cut(tree) for part in self._parts]

    def _taken(self) -> None:
        trees = [unpacked(state) for state in self._ask("state")]
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
