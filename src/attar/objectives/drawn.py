"""Networks that are drawn, used several times and drawn again, with what was found in each.

What a method finds in a network on real images alone, such as class means of features, is the
same at every step that matches in it. A pool keeps it: the first use of a network costs what a
step of the plain method costs, and gives what that gives; later uses leave the real side out.

A network is known by the key of the step that drew it, from which it is drawn again where it is
needed: two milliseconds for a ConvNet, where its parameters would take more memory than what is
kept. So what a pool keeps in a state is small, and a run resumes to the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attar.capacity import check_memory
from attar.errors import BadRequest
from attar.objectives.base import State
from attar.rng import Key


@dataclass(frozen=True)
class Drawn:
    """The network whose turn it is.

    Args:
        key: that it is drawn from, with all else of its first use.
        found: what was found in it, by name; None at its first use.
    """

    key: Key
    found: Mapping[str, Tensor] | None


@dataclass(frozen=True)
class DrawnPool:
    """Networks by turns; each serves ``refresh`` steps and is drawn anew.

    Every ``size`` steps each has one turn, in an order drawn from the key. In its first life
    network i serves i·refresh/size steps fewer, so that they are not all drawn anew together.

    Args:
        size: number of networks.
        refresh: steps that a network serves; 0 for all.
    """

    size: int
    refresh: int

    def check(self) -> None:
        """Refuse settings out of range, by the names that objectives give them."""
        for name, value in (("pool", self.size), ("refresh", self.refresh)):
            if value < 0:
                raise BadRequest(f"{name} {value}: 0 or more")

    def init(self, shapes: Mapping[str, tuple[int, ...]], key: Key) -> State:
        """Return the pool before the first step, in which nothing has been drawn.

        Args:
            shapes: of what is kept of each network, by name; float32.
            key: decides the order.

        Raises:
            BadRequest: there is not as much memory.
        """
        values = self.size * sum(math.prod(shape) for shape in shapes.values())
        check_memory(4 * values, f"pool {self.size}: what is kept of it", "give a smaller pool")
        return {
            "turn": 0,
            "key": _told(key),
            "networks": {
                str(i): {
                    "key": [],
                    "uses": i * self.refresh // self.size,
                    "found": {name: torch.zeros(shape) for name, shape in shapes.items()},
                }
                for i in range(self.size)
            },
        }

    def now(self, state: State, key: Key) -> Drawn:
        """Return the network whose turn it is.

        Args:
            state: of the pool.
            key: of the step, from which it is drawn where it serves for the first time.
        """
        network = state["networks"][self._name(state)]
        if not network["key"]:
            return Drawn(key, None)
        return Drawn(_key(network["key"]), network["found"])

    def kept(self, drawn: Drawn, found: Mapping[str, Tensor]) -> Mapping[str, Any]:
        """Return what `advance` needs of a step.

        Args:
            drawn: what `now` returned.
            found: in it, by the names of `init`.
        """
        return {} if drawn.found is not None else {"key": _told(drawn.key), "found": found}

    def advance(self, state: State, kept: Mapping[str, Any]) -> State:
        """Return the pool after a step, given what `kept` returned in it."""
        name = self._name(state)
        network = {**state["networks"][name], **kept}
        network["uses"] += 1
        if network["uses"] == self.refresh:
            network |= {"uses": 0, "key": []}
        networks = {**state["networks"], name: network}
        return {"turn": state["turn"] + 1, "key": state["key"], "networks": networks}

    def joined(self, states: Sequence[tuple[Collection[int], State]]) -> State:
        """Return one pool of those of several slices, whose tensors have a row for each class.

        Args:
            states: classes and pool of each.
        """
        first = states[0][1]
        networks = {}
        for name, network in first["networks"].items():
            found = {what: value.clone() for what, value in network["found"].items()}
            for labels, state in states[1:]:
                own = sorted(labels)
                for what, value in found.items():
                    value[own] = state["networks"][name]["found"][what][own].to(value)
            networks[name] = {**network, "found": found}
        return {**first, "networks": networks}

    def filled(self, state: State) -> State:
        """Return the pool as if the network whose turn it is had been drawn before."""
        name = self._name(state)
        network = {**state["networks"][name], "key": state["key"]}
        return {**state, "networks": {**state["networks"], name: network}}

    def drawn(self, steps: int) -> float:
        """Return about how many networks are drawn in so many steps from the start."""
        again = max(0, steps - self.size) / self.refresh if self.refresh else 0.0
        return min(steps, self.size) + again

    def _name(self, state: State) -> str:
        done, turn = divmod(state["turn"], self.size)
        generator = _key(state["key"]).fold("order", done).generator()
        return str(int(torch.randperm(self.size, generator=generator)[turn]))


def _told(key: Key) -> list[str | int]:
    return [key.seed, *key.path]


def _key(told: list[Any]) -> Key:
    return Key(told[0], tuple(told[1:]))
