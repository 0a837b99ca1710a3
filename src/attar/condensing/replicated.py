"""A run that every worker holds, and whose steps they share.

Each does a part of the matching, all get the sum of the gradients, and every one makes the same
update and trains the same networks by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attar.condensing.crewed import Crewed
from attar.condensing.engine import Run
from attar.condensing.worker import unpacked
from attar.errors import RunFailed


class Replicated(Crewed):
    """A run whose steps workers share.

    Args:
        run: at its beginning, which is taken over.
        crew: the workers.
    """

    @staticmethod
    def _loss(losses: list[float]) -> float:
        return losses[0]

    def _parted(self, tree: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        return [tree] * len(self._crew.shares)

    def _taken(self) -> None:
        shares = self._crew.shares
        first, *others = self._ask("digest")
        (state, *_) = self._crew.ask("state", [(share is shares[0],) for share in shares])
        if any(one != first for one in others):
            if self.problem.compute.device.type == "cpu":
                raise self._apart(next(n for n, one in enumerate(others, 1) if one != first))
            # a GPU takes some sums in another order each time: go on from one and the same
            self._sent = False
        Run.load_state_dict(self, unpacked(state))

    def _apart(self, number: int) -> RunFailed:
        first, other = self._crew.shares[0], self._crew.shares[number]
        return RunFailed(
            f"worker {other.number} came to other values than worker {first.number} at step "
            f"{self.step}, as processors of different kinds do; take machines of one kind."
        )
