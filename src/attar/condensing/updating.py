"""How one step changes what is learnt: gradients of whole tensors, and of rows by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from attar.errors import BadRequest
from attar.optimisers import Optimiser
from attar.sgd import SGD
from attar.synthetic.stores.moves import Move
from attar.synthetic.stores.touched import Touched
from attar.tensors import is_finite


class Updater:
    """The optimisers of all learnt tensors, by role.

    Args:
        roles: the learnt tensors.
        settings: of their optimisers; None freezes a role, whose tensors stay as they are and
            need no gradient.

    Raises:
        BadRequest: nothing is said of a role, or all are frozen.
    """

    def __init__(
        self, roles: Mapping[str, list[nn.Parameter]], settings: Mapping[str, Optimiser | None]
    ) -> None:
        for role in roles:
            if role not in settings:
                raise BadRequest(f"nothing says how {role} are updated: add an optimiser for them")
        told = {role: settings[role] for role in roles}
        self.settings = {role: one for role, one in told.items() if one is not None}
        if not self.settings:
            raise BadRequest(
                f"optimisers: {', '.join(roles)} are all frozen, so nothing would be learnt; give "
                "one of them an optimiser"
            )
        self.roles = {role: roles[role] for role in self.settings}
        for role in roles.keys() - self.roles.keys():
            for one in roles[role]:
                one.requires_grad_(False)
        self.optimisers = {role: one.build(self.roles[role]) for role, one in self.settings.items()}

    @property
    def first(self) -> Optimiser:
        """Of the first role that is learnt, whose learning rate a user knows."""
        return next(iter(self.settings.values()))

    @property
    def rests(self) -> bool:
        """Whether rows that a step does not read have to stay as they are."""
        return not all(one.coast for one in self.settings.values())

    def clear(self) -> None:
        """Forget all gradients."""
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)

    def unreached(self, touched: Sequence[Touched]) -> str | None:
        """Return a role none of whose tensors has a gradient, if there is one."""
        reached = {id(one.values) for one in touched if one.part.grad is not None}
        for role, params in self.roles.items():
            if all(one.grad is None and id(one) not in reached for one in params):
                return role
        return None

    def update(self, touched: Sequence[Touched], step: int, steps: int | None) -> bool:
        """Update every tensor, once gradients are there.

        Args:
            touched: what was read by rows, whose gradients are those of the rows.
            step: number of the step, from 0.
            steps: of the whole run; None where it is not known.

        Returns:
            Whether all that a gradient changed is finite. Rows that move by momentum alone are
            not looked at: they are when they are read, and when the set is kept.
        """
        fine = True
        for role, params in self.roles.items():
            optimiser, setting = self.optimisers[role], self.settings[role]
            own = [one for one in touched if any(one.values is each for each in params)]
            own = [one for one in own if one.part.grad is not None]
            alone = [one for one in own if self._by_itself(one, role, own)]
            for one in own:
                if not any(one is each for each in alone):
                    _spread(one)
            if setting.clip is not None:
                nn.utils.clip_grad_norm_(params, setting.clip)
            for group in optimiser.param_groups:
                group["lr"] = setting.rate(step, steps)
            optimiser.step()
            fine = fine and all(is_finite(one.detach()) for one in params if one.grad is not None)
            for one in alone:
                assert isinstance(optimiser, SGD) and one.part.grad is not None
                optimiser.step_rows(one.values, one.rows, one.part.grad)
                fine = fine and is_finite(one.values.detach()[one.rows])
        return fine

    def move(self, tensors: Sequence[nn.Parameter], move: Move) -> None:
        """Move what is kept of rows that were put in another order."""
        for optimiser in self.optimisers.values():
            for one in tensors:
                for kept in optimiser.state.get(one, {}).values():
                    if isinstance(kept, Tensor) and kept.shape == one.shape:
                        move.apply(kept)
                if isinstance(optimiser, SGD):
                    optimiser.forget_rows(one)

    def state_dict(self) -> dict[str, Any]:
        """Return what the optimisers keep, by role and number of the tensor; not copied."""
        return {
            role: {str(i): entry for i, entry in optimiser.state_dict()["state"].items()}
            for role, optimiser in self.optimisers.items()
        }

    def load_state_dict(self, tree: Mapping[str, Any]) -> None:
        """Continue from copies of what `state_dict` returned."""
        for role, optimiser in self.optimisers.items():
            entries = {int(i): entry for i, entry in tree.get(role, {}).items()}
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": entries, "param_groups": groups})

    def _by_itself(self, one: Touched, role: str, all_read: Sequence[Touched]) -> bool:
        """Whether rows can be updated without the gradient of the whole tensor."""
        optimiser = self.optimisers[role]
        return (
            isinstance(optimiser, SGD)
            and optimiser.takes_rows(one.values)
            and self.settings[role].clip is None
            and one.values.grad is None
            and sum(other.values is one.values for other in all_read) == 1
        )


def _spread(one: Touched) -> None:
    """Add the gradient of rows to that of their tensor."""
    assert one.part.grad is not None
    if one.values.grad is None:
        one.values.grad = torch.zeros_like(one.values)
    one.values.grad.index_add_(0, one.rows, one.part.grad)
