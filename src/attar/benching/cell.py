"""One cell of a suite's tables."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

from attar.benching.making import FREE, LEARNED
from attar.evaluation.intervals import half_width
from attar.evaluation.remarks import no_better_than_naming
from attar.published import Figure

# a set that is condensed from the real images where others are slimmed, in the paper's letters
ANEW = "RT"
# how a row is told from that of the labels that a set has
LABELS = {"hard": "hard labels", "taught": "teacher's labels"}


@dataclass(frozen=True)
class Cell:
    """One figure of a table: all networks of one kind on all sets of one kind.

    Args:
        dataset: name in the suite.
        method: name of the row.
        variant: empty for the set itself; ``last iterate``, ``hard labels``,
            ``teacher's labels``. Where the method's
            sets are slimmed, first how the set was reached: ``RT``, ``LBS`` or ``LFS``.
        budget: name of the column; empty for the whole training set.
        network: trained on the sets.
        card: that it was trained under; several where methods' cards differ.
        accuracies: in percent, of every network of every set, in the order of the sets.
        sets: how many sets were measured.
        wanted: how many there are to be.
        images_per_class: of a set; None where classes differ, or nothing was measured.
        bytes: everything a set keeps; None likewise.
        paper_bytes: the same as the papers count.
        seconds: of wall time, to make one set on average; None for what is not made.
        evaluation_seconds: to train and test one network on average.
        note: what the evaluation says of itself.
        failures: what went wrong, and the log that tells it.
        published: what the papers printed for the same cell.
        gap: of a slimmed set, the mean of the set condensed anew at the same budget less its own,
            in percentage points; None where one of them was not measured, or their cards differ.
        published_gap: the same of what the papers printed.
        epochs: for which each network was trained; the fewest where sets differ, None where
            unknown.
        updates: of each network; likewise.
        tested: test images of each class; empty where unknown.
        balanced: balanced accuracies in percent, as ``accuracies``; empty where unknown.
    """

    dataset: str
    method: str
    variant: str
    budget: str
    network: str
    card: str
    accuracies: tuple[float, ...]
    sets: int
    wanted: int
    images_per_class: int | None = None
    bytes: int | None = None
    paper_bytes: int | None = None
    seconds: float | None = None
    evaluation_seconds: float | None = None
    note: str = ""
    failures: tuple[tuple[str, Path], ...] = ()
    published: tuple[Figure, ...] = ()
    gap: float | None = None
    published_gap: float | None = None
    epochs: float | None = None
    updates: int | None = None
    tested: tuple[int, ...] = ()
    balanced: tuple[float, ...] = ()

    @property
    def slimmed(self) -> bool:
        """Whether it is of slimmed sets themselves."""
        return self.variant in (LEARNED, FREE)

    @property
    def row(self) -> str:
        """The name of its row in a table."""
        return f"{self.method}, {self.variant}" if self.variant else self.method

    @property
    def mean(self) -> float | None:
        """Mean accuracy in percent over all networks of all sets."""
        return statistics.fmean(self.accuracies) if self.accuracies else None

    @property
    def std(self) -> float | None:
        """Population standard deviation over all networks of all sets, as in the papers."""
        return statistics.pstdev(self.accuracies) if self.accuracies else None

    @property
    def balanced_mean(self) -> float | None:
        """Mean balanced accuracy in percent over all networks of all sets."""
        return statistics.fmean(self.balanced) if self.balanced else None

    @property
    def no_better(self) -> str:
        """Say that the mean is at or below that of naming the largest class; empty if above."""
        return "" if self.mean is None else no_better_than_naming(self.mean, self.tested)

    @property
    def interval(self) -> float | None:
        """Half width of the 95 % confidence interval of the mean; None below three networks.

        Student's t over all networks of all sets, taken as independent.
        """
        return half_width(self.std, len(self.accuracies)) if self.std is not None else None

    @property
    def status(self) -> str:
        """``done``, ``failed``, ``part`` where sets are missing, ``missing`` where all are."""
        if self.failures:
            return "failed"
        if self.sets == self.wanted:
            return "done"
        return "part" if self.sets else "missing"
