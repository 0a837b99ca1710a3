"""The robust scores of one set or several, with how they were measured."""

from __future__ import annotations

from collections.abc import Sequence

from attar.evaluation.ranking import Scores, Spread
from attar.report.comparison import NO_BREAK, Row, small
from attar.report.entries import Entry
from attar.report.markup import Markup, join, table, tag
from attar.report.standings import heading


def scores_of_rows(rows: Sequence[Row]) -> Markup:
    """Return the table of the scores that rows carry; nothing where none does."""
    return _table([("", one) for row in rows for one in row.scores])


def scores_of_entries(entries: Sequence[Entry]) -> Markup:
    """Return the table of the scores of several artefacts; nothing where none has any."""
    return _table(
        [
            (heading(index, entry), one)
            for index, entry in enumerate(entries)
            for evaluation in entry.evaluations
            for row in evaluation.rows
            for one in row.scores
        ]
    )


def _table(scores: Sequence[tuple[object, Scores]]) -> Markup:
    if not scores:
        return Markup("")
    named = any(name for name, _ in scores)
    rows = [
        [
            join(name, small(one.network)) if named else one.network,
            _spread(one.label_robust, 3),
            _spread(one.augmentation_robust, 3),
            _spread(one.hard_label_recovery, 1),
            _spread(one.improvement_over_random, 1),
        ]
        for name, one in scores
    ]
    caption = (
        "LRS and ARS run from 0 to 1, more is better: what an accuracy owes to the images, not to "
        "soft labels (LRS) or augmentation (ARS). HLR: points that the set with hard labels lacks "
        "to all real images. IOR: points gained over random real images. Mean ± standard "
        "deviation over networks. Definition: DD-Ranking (arXiv:2505.13300)."
    )
    heads = ["Set and network" if named else "Network", "LRS", "ARS", "HLR", "IOR"]
    protocols = dict.fromkeys(one.protocol for _, one in scores)
    notes = [tag("p", f"Scores: {protocol}.", class_="note") for protocol in protocols]
    return join(table(heads, rows, caption=caption, numeric=(1, 2, 3, 4)), *notes)


def _spread(spread: Spread, digits: int) -> Markup:
    text = f"{spread.mean:.{digits}f}"
    if len(spread.values) > 1:
        text += f" ± {spread.std:.{digits}f}".replace(" ", NO_BREAK)
    below = "" if spread.interval is None else f"95 % ± {spread.interval:.{digits}f}"
    return join(text, small(below))
