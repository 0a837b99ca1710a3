"""The artefact of an iterate of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

import attar
from attar.artefact.artefact import Artefact, preprocessing_fields
from attar.artefact.header import CHOSEN, NOTES, PARTS, TEACHER, Header
from attar.condensing.coding import coding_of
from attar.condensing.plan import Plan
from attar.objectives import Nested
from attar.storage import storage_text
from attar.synthetic import Synthetic
from attar.teachers.carried import carried_by


def _threads(plan: Plan) -> dict[str, int]:
    told = plan.compute.record()
    return {"threads": told["threads"]} if "threads" in told else {}


def artefact_of(
    plan: Plan,
    tensors: Mapping[str, Tensor],
    iterate: str,
    step: int,
    validation: float | None,
    values: Mapping[str, Any],
    learned: Mapping[str, Tensor],
) -> Artefact:
    """Return an iterate as an artefact, its values rounded as they are stored.

    Args:
        plan: of the run.
        tensors: of the set at that step.
        iterate: ``last`` or ``selected``.
        step: updates before it.
        validation: its accuracy on held-out images, where it was measured.
        values: more to tell in the provenance.
        learned: what the objective had learnt by then beside the set.

    Raises:
        TooLarge: it fits the allowance in no quality.
    """
    synthetic = Synthetic(plan.layout, plan.recipe.parametrization, plan.recipe.learned_labels)
    synthetic.load_state_dict({name: tensor.detach().cpu() for name, tensor in tensors.items()})
    synthetic.settle()
    coding = coding_of(plan, synthetic, learned)
    notes = [*([] if plan.choice is None else [plan.choice.told]), *coding.notes]
    header = Header.model_validate(
        {
            "class_names": list(plan.train.class_names),
            "shape": plan.layout.shape,
            "images_per_class": plan.layout.per_class,
            "class_counts": plan.layout.counts,
            "parametrization": plan.recipe.parametrization.describe(),
            "learned_labels": plan.recipe.learned_labels,
            "learned": {name: list(one.shape) for name, one in learned.items()},
            "nested": isinstance(plan.recipe.objective, Nested),
            "storage": storage_text(coding.storage),
            **preprocessing_fields(plan.train.preprocessing),
            "budget": {**plan.request.budget().as_dict(), "limit": plan.limit},
            "method": plan.request.chosen.name,
            "settings": plan.settings,
            "seed": plan.request.seed,
            "step": step,
            "iterate": iterate,
            "validation": validation,
            "provenance": {
                "source": plan.source,
                "reading": plan.repeated_reading,
                "dataset": plan.train.name,
                "images": len(plan.train),
                **({PARTS: dict(plan.parts)} if plan.parts else {}),
                "attar": attar.__version__,
                "torch": torch.__version__,
                **_threads(plan),
                "command": plan.command,
                **({NOTES: notes} if notes else {}),
                **({} if plan.teacher is None else {TEACHER: plan.teacher.facts()}),
                **({} if plan.choice is None else {CHOSEN: plan.choice.as_dict()}),
                **values,
                **plan.provenance,
            },
        }
    )
    # rounded as it will be stored, so that what is returned equals what is loaded again
    storage, teacher = plan.recipe.carried, plan.teacher
    carried = carried_by(teacher, storage) if storage and teacher is not None else None
    return Artefact.rounded(header, synthetic, plan.train.preprocessing, learned, carried)
