"""The teacher that labels batches of an evaluation, and whether it is the one of the set."""

from __future__ import annotations

import warnings

from attar.artefact.artefact import Artefact
from attar.artefact.header import TEACHER
from attar.compute import Compute
from attar.errors import BadRequest
from attar.evaluation.real import Real
from attar.teachers.finding import find_teacher
from attar.teachers.teacher import Teacher
from attar.training.cards import CARDS, EvaluationCard


def refuse_deaf(card: EvaluationCard, asked: str) -> None:
    """Refuse a teacher, or its labels, under a card that does not learn from one.

    Raises:
        BadRequest: it does not.
    """
    if card.loss != "kl":
        able = [name for name, one in CARDS.items() if one.loss == "kl"]
        raise BadRequest(
            f"{asked}: under the card {card.name!r} networks learn from stored labels "
            f"alone; give --card {' or '.join(able)}"
        )


def teacher_of(
    spec: str | None, artefact: Artefact, real: Real, compute: Compute
) -> Teacher | None:
    """Return the teacher that is asked for; None for none.

    Raises:
        BadRequest: there is none such, or it was trained on other classes or another normalization.
    """
    if spec is None:
        return None
    found = find_teacher(spec, real.train or real.test, compute)
    told = artefact.header.provenance.get(TEACHER)
    if isinstance(told, dict) and told.get("digest") not in (None, found.digest):
        warnings.warn(
            f"--teacher {spec}: the labels of this set come from another teacher, "
            f"{told.get('network')} ({told.get('origin')}, digest {told.get('digest')})",
            stacklevel=2,
        )
    return found
