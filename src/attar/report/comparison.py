"""The table that sets the condensed set beside random real images and the whole data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from attar.budget import format_bytes
from attar.evaluation import Result
from attar.evaluation import rows as evaluation
from attar.evaluation.intervals import half_width
from attar.evaluation.ranking import Scores
from attar.evaluation.remarks import length, remarks
from attar.evaluation.rows import Kind
from attar.report.markup import Markup, join, table, tag
from attar.training.by_class import largest_share, largest_stands_out, unequal

NO_BREAK = "\N{NO-BREAK SPACE}"
Accuracy = tuple[float, float, int]


@dataclass(frozen=True)
class Row:
    """One line of the comparison.

    Args:
        name: what was trained on, such as ``condensed`` or ``random real images``.
        images_per_class: as text, such as ``10`` or ``5000``.
        bytes: of everything stored; None where that makes no sense.
        paper_bytes: of what the papers count.
        accuracies: mean and standard deviation in percent and number of networks, by network.
        note: a few words below the name.
        kind: what the line stands for; None reads it off the name (``random…``, ``whole…`` or
            ``full…``, otherwise condensed).
        scores: robust scores, where they were measured.
        length: for how many epochs and updates networks were trained.
        remarks: what has to be said before it is set against the other rows.
        results: everything that was measured, by network.
    """

    name: str
    images_per_class: str
    bytes: int | None
    paper_bytes: int | None
    accuracies: Mapping[str, Accuracy]
    note: str = ""
    kind: Kind | None = None
    scores: tuple[Scores, ...] = ()
    length: str = ""
    remarks: tuple[str, ...] = ()
    results: Mapping[str, Result] = field(default_factory=dict)

    @classmethod
    def of(cls, row: evaluation.Row) -> Row:
        """Return the line for what `attar.evaluate` measured."""
        results = {result.network: result for result in row.results}
        accuracies = {network: accuracy(result) for network, result in results.items()}
        sizes = row.count, row.bytes, row.paper_bytes
        made = cls(row.name, *sizes, accuracies, row.note, row.kind, row.scores, results=results)
        return replace(made, length=length(row.epochs, row.updates))

    @classmethod
    def of_all(cls, rows: Sequence[evaluation.Row]) -> list[Row]:
        """Return the lines of one comparison, with what is to be said of each."""
        pairs = zip(rows, remarks(rows), strict=True)
        return [replace(cls.of(row), remarks=tuple(said)) for row, said in pairs]

    @property
    def role(self) -> Kind:
        """What the line stands for."""
        if self.kind is not None:
            return self.kind
        name = self.name.lower()
        if name.startswith("random"):
            return "random"
        return "whole" if name.startswith(("whole", "full", "all ")) else "condensed"


def accuracy(result: Result) -> Accuracy:
    """Return the mean and standard deviation in percent and the number of networks."""
    return result.mean, result.std, len(result.accuracies)


def percent(accuracy: Accuracy) -> str:
    """Write an accuracy in percent, with its deviation where it is of several networks."""
    mean, std, count = accuracy
    text = f"{mean:.1f} ± {std:.1f} %" if count > 1 else f"{mean:.1f} %"
    return text.replace(" ", NO_BREAK)


def networks_of(rows: Iterable[Row]) -> list[str]:
    """Return every network that a row was measured with, in order of appearance."""
    return list(dict.fromkeys(network for row in rows for network in row.accuracies))


def best(rows: Sequence[Row], role: Kind, network: str) -> Row | None:
    """Return the row of a kind with the highest mean for a network."""
    found = [row for row in rows if row.role == role and network in row.accuracies]
    return max(found, key=lambda row: row.accuracies[network][0], default=None)


def comparison(rows: Sequence[Row]) -> Markup:
    """Return the table; the best condensed row for the first network is emphasised."""
    networks = networks_of(rows)
    winner = best(rows, "condensed", networks[0]) if networks else None
    counts = {row.accuracies[name][2] for row in rows for name in row.accuracies}
    shared = counts.pop() if len(counts) == 1 else None
    return table(
        ["Trained on", "Images per class", "Size", *networks],
        [
            [
                _name(row),
                row.images_per_class,
                _size(row),
                *(
                    bar(
                        row.accuracies.get(name),
                        shared is None,
                        ceiling=_ceiling(rows, row, name),
                        more=balanced(row.results.get(name)),
                    )
                    for name in networks
                ),
            ]
            for row in rows
        ],
        caption=_caption(shared) + _of_largest(rows),
        emphasised=None if winner is None else rows.index(winner),
        numeric=(1, 2),
    )


def _caption(shared: int | None) -> str:
    text = "Accuracy on real test images in percent"
    if shared is None:
        return (
            f"{text}; mean ± standard deviation over n networks trained from scratch, and half the "
            "width of the mean’s 95 % confidence interval."
        )
    if shared == 1:
        return f"{text}, of one network trained from scratch."
    return (
        f"{text}; mean ± standard deviation over {shared} networks trained from scratch, and half "
        "the width of the mean’s 95 % confidence interval."
    )


def _of_largest(rows: Sequence[Row]) -> str:
    """Say what naming the largest class gives, where that is much."""
    found = [result.tested for row in rows for result in row.results.values() if result.tested]
    tested = next(filter(largest_stands_out, found), None)
    if tested is None:
        return ""
    return f" Naming the largest class gives {largest_share(tested):.1f}{NO_BREAK}%."


def balanced(result: Result | None) -> str:
    """Say the balanced accuracy where accuracy favours the largest class; empty elsewhere."""
    if result is None or result.balanced is None or not unequal(result.tested):
        return ""
    found = result.balanced
    return f"balanced {percent((found.mean, found.std, len(found.values)))}"


def _ceiling(rows: Sequence[Row], row: Row, network: str) -> float | None:
    """Return the accuracy of the whole training set that a row may be measured against."""
    whole = best(rows, "whole", network)
    return None if whole is None or row.role == "whole" else whole.accuracies[network][0]


def _name(row: Row) -> Markup:
    note = "" if row.note and row.note in row.length else row.note
    return join(
        tag("bdi", row.name),
        small(note),
        small(row.length),
        *(small(f"{text[0].upper()}{text[1:]}.") for text in row.remarks),
    )


def _size(row: Row) -> Markup:
    size = row.paper_bytes if row.bytes is None else row.bytes
    if size is None:
        return missing("no size given")
    differs = row.paper_bytes is not None and row.paper_bytes != size
    return join(
        format_bytes(size),
        small(f"papers’ count {format_bytes(row.paper_bytes or 0)}" if differs else ""),
    )


def bar(
    accuracy: Accuracy | None,
    counted: bool,
    mark: str = "",
    ceiling: float | None = None,
    more: str = "",
) -> Markup:
    """Return an accuracy with a bar of its length.

    Args:
        accuracy: None where it was not measured.
        counted: whether the number of networks is said.
        mark: a word beside the figure, which is then set bold.
        ceiling: accuracy in percent from the whole training set, where it was measured.
        more: a further line below.
    """
    if accuracy is None:
        return missing("not measured")
    mean, std, count = accuracy
    interval = half_width(std, count)
    below = [] if interval is None else [f"95 % ± {interval:.1f}"]
    below += [f"{100 * mean / ceiling:.0f} % of the ceiling"] if ceiling else []
    width = min(100.0, max(0.0, mean))
    number = f" n = {count}".replace(" = ", f"{NO_BREAK}={NO_BREAK}")
    return join(
        tag("span", percent(accuracy), class_="figure top" if mark else "figure"),
        tag("span", f" {mark}", class_="mark") if mark else "",
        tag("span", number, class_="small") if counted else "",
        small(", ".join(below)),
        small(more),
        tag("span", tag("span", style=f"width:{width:.1f}%"), class_="bar", aria_hidden="true"),
    )


def small(text: str) -> Markup:
    """Return a line below, in small print; nothing for no text."""
    return tag("span", text, class_="small below") if text else Markup("")


def missing(why: str) -> Markup:
    """Return a dash that says why there is nothing."""
    return tag("span", "–", title=why, aria_label=why, role="img")
