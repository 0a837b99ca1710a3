"""How an iterate is coded where only its values tell its bytes: as asked, or coarser, to fit.

Such a set is planned by what real images take (`attar.condensing.real_start.CodedStart`). Trained
images take other bytes than these, so each iterate that is kept or validated is coded by itself.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from attar.artefact.artefact import learnt_tensors, preprocessing_tensors
from attar.artefact.clipping import clipping_of
from attar.artefact.coding import encoded, rounded
from attar.condensing.engine import Run
from attar.condensing.plan import Plan
from attar.errors import RunFailed
from attar.storage import Storage, codes_pictures, storage_of, storage_text
from attar.synthetic import Synthetic


class TooLarge(RunFailed):
    """An iterate that no quality makes small enough; the run can be resumed without its limit."""


@dataclass(frozen=True)
class Coding:
    """How one iterate is kept.

    Args:
        storage: that asked for, or a coarser one.
        notes: what should be known of it, in whole sentences.
    """

    storage: Storage
    notes: tuple[str, ...] = ()


@torch.no_grad()
def coding_of(plan: Plan, synthetic: Synthetic, learned: Mapping[str, Tensor]) -> Coding:
    """Return how an iterate is kept within the allowance of its run.

    Args:
        plan: of the run.
        synthetic: the iterate, on the CPU.
        learned: what the objective has learnt beside it.

    Raises:
        TooLarge: even the coarsest storage takes more.
    """
    asked = storage_of(plan.request.stored_as)
    if not plan.estimated:
        return Coding(asked)
    found = _finest(plan, asked, synthetic, learned)
    notes = []
    if found != asked:
        notes.append(
            f"the trained images did not fit {plan.limit} bytes as {storage_text(asked)} and were "
            f"coded as {storage_text(found)}; --images-per-class below {plan.layout.per_class} "
            "keeps more of each"
        )
    if codes_pictures(asked):
        stored, preprocessing = synthetic.state_dict(), plan.train.preprocessing
        names = sorted(synthetic.parametrization.pictures & stored.keys())
        lost = (clipping_of(preprocessing.invert(stored[name])) for name in names)
        notes += [
            f"coding clips what is stored: {one}; --bounded keeps it inside while it is made"
            for one in lost
            if one is not None
        ]
    return Coding(found, tuple(notes))


@torch.no_grad()
def as_kept(plan: Plan, run: Run, *, always: bool = False) -> Synthetic:
    """Return the iterate of a run as its file would give it back, where coding it loses much.

    Args:
        plan: of the run.
        run: whose iterate it is.
        always: whatever it loses.
    """
    if not (plan.estimated or plan.rounds or always):
        return run.iterate
    found = copy.deepcopy(run.iterate).cpu()
    storage = coding_of(plan, found, run.learned_kept()).storage
    rounded(found, storage, plan.train.preprocessing)
    return found.to(plan.compute.device)


def _finest(
    plan: Plan, asked: Storage, synthetic: Synthetic, learned: Mapping[str, Tensor]
) -> Storage:
    """Return the storage asked for where a set fits so, else the finest coarser one that fits."""
    if plan.limit is None:
        return asked
    limit, count = plan.limit, plan.request.budget().count
    extras = preprocessing_tensors(plan.train.preprocessing) | learnt_tensors(learned)

    def taken(storage: Storage) -> int:
        coded = encoded(synthetic, storage, plan.train.preprocessing)
        return synthetic.ledger(storage, extras, coded).of(count)

    size = taken(asked)
    if size <= limit:
        return asked
    coarser = asked.coarser()
    low, high = 0, len(coarser)
    while low < high:
        middle = (low + high) // 2
        size = taken(coarser[middle])
        low, high = (low, middle) if size <= limit else (middle + 1, high)
    if low < len(coarser):
        return coarser[low]
    least = [asked, *coarser][-1]
    raise TooLarge(
        f"even as {storage_text(least)} the trained images take {taken(least)} bytes ({count} "
        f"count), and the budget is {limit}. --resume with --images-per-class "
        f"{plan.layout.per_class} in place of the budget keeps them in what they take; or begin "
        f"again {_smaller(plan, asked)}."
    )


def _smaller(plan: Plan, asked: Storage) -> str:
    """Return what takes less, in words: a lower quality, or where there is none a lossy codec."""
    each = plan.layout.per_class
    ways = ["with a lower quality" if hasattr(asked, "quality") else "as --storage webp"]
    ways += [f"with --images-per-class {each - 1}"] if each > 1 else []
    ways += ["with --init real"] if plan.recipe.init == "noise" else []
    return " or ".join(ways)
