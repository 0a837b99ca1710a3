"""The page: a summary, the comparison, the images, the course of the run, and its terms."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attar.artefact import Artefact
from attar.budget import FLOAT32_BYTES, format_bytes
from attar.evaluation import CARDS
from attar.files import write_text
from attar.report.charts import Point, line_chart
from attar.report.comparison import NO_BREAK, Row, best, comparison, percent
from attar.report.markup import Markup, breakable, join, pairs, table, tag
from attar.report.pictures import gallery

# Nothing is fetched and nothing is run, whatever a name or a note may contain.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"


def write_report(
    path: Path,
    artefact: Artefact,
    *,
    rows: Sequence[Row],
    log: Sequence[Mapping[str, Any]],
    title: str | None = None,
    notes: Sequence[str] = (),
    command: str | None = None,
) -> None:
    """Write one HTML file that shows a set, what it costs and how good it is.

    The file needs nothing else: no network, no script, no other file.

    Args:
        path: where; replaced atomically.
        artefact: the set.
        rows: of the comparison; none leaves the table out. The first condensed one is this set.
        log: as `attar.log.read_log` returns it; none leaves the charts out.
        title: of the page; the method and the dataset by default.
        notes: paragraphs below the summary, such as how the accuracies were measured.
        command: makes the set again; None takes the one in the artefact's provenance.

    Raises:
        RunFailed: the file could not be written.
    """
    title = title or f"{artefact.card.method} on {_dataset(artefact)}"
    command = command or artefact.card.provenance.get("command")
    sections = [
        ("Comparison", comparison(rows) if rows else Markup("")),
        ("Images", gallery(artefact)),
        ("Course of the run", _course(artefact, log)),
        ("Budget", _budget(artefact)),
        ("Protocol", _protocol(artefact)),
        ("Settings", _settings(artefact)),
        ("Provenance", _provenance(artefact)),
        ("Make it again", _command(command) if command else Markup("")),
    ]
    body = join(
        tag(
            "header",
            tag("p", "Attar · condensed set", class_="kicker"),
            tag("h1", title),
            tag("p", _summary(artefact, rows), class_="lead"),
            *(tag("p", note, class_="note") for note in notes),
        ),
        tag("main", *(_section(name, content) for name, content in sections if content)),
    )
    write_text(path, _document(title, body))


def _document(title: str, body: Markup) -> str:
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style)),
    )
    page = tag("html", tag("head", head), tag("body", body), lang="en")
    return f"<!doctype html>\n{page}\n"


def _section(name: str, content: Markup) -> Markup:
    anchor = name.lower().replace(" ", "-")
    return tag("section", tag("h2", name, id=anchor), content, aria_labelledby=anchor)


def _command(command: str) -> Markup:
    """Return a command to be copied; lines do not break within its options."""
    words = re.split(r"(\s+)", command)
    parts = [tag("span", word) if word.startswith("-") else word for word in words]
    return tag("pre", tag("code", *parts))


def _dataset(artefact: Artefact) -> str:
    return str(artefact.card.provenance.get("dataset", "a dataset"))


def _summary(artefact: Artefact, rows: Sequence[Row]) -> Markup:
    """Say in one sentence what the set is and what it is worth."""
    card = artefact.card
    images = "image" if card.images_per_class == 1 else "images"
    text = join(
        f"{_dataset(artefact)} in ",
        tag("strong", f"{card.images_per_class:,} {images} per class".replace(" ", NO_BREAK)),
        f" for {len(card.class_names):,} classes and ",
        tag("strong", format_bytes(artefact.totals.all).replace(" ", NO_BREAK)),
        ", drawn at random" if card.method == "random" else f", condensed by {card.method}",
    )
    role = "random" if card.method == "random" else "condensed"
    own = next((row for row in rows if row.role == role and row.accuracies), None)
    return join(text, "." if own is None else _worth(own, rows))


def _worth(own: Row, rows: Sequence[Row]) -> Markup:
    network = next(iter(own.accuracies))
    against = [
        f"{percent(row.accuracies[network])} {what}"
        for row, what in (
            (best(rows, "random", network), "for random real images"),
            (best(rows, "whole", network), "for the whole training set"),
        )
        if row is not None and row is not own
    ]
    return join(
        f": a {network} trained on it reaches ",
        tag("strong", percent(own.accuracies[network])),
        f" on the test images, against {' and '.join(against)}." if against else " on test images.",
    )


def _series(log: Sequence[Mapping[str, Any]], name: str) -> list[Point]:
    found = [(float(row["step"]), float(row[name])) for row in log if row.get(name) is not None]
    return [point for point in found if math.isfinite(point[1])]


def _course(artefact: Artefact, log: Sequence[Mapping[str, Any]]) -> Markup:
    card = artefact.card
    charts = []
    losses, validations = _series(log, "loss"), _series(log, "validation")
    if losses:
        charts.append(line_chart(losses, name="Loss", label="loss", kind="loss"))
    if validations:
        chosen = card.step if card.iterate == "selected" else None
        charts.append(
            line_chart(
                validations,
                name="Validation accuracy",
                label="accuracy in %",
                kind="validation",
                caption=_validation_caption(validations, chosen),
                marked=chosen,
            )
        )
    return tag("div", *charts, class_="charts") if charts else Markup("")


def _validation_caption(points: Sequence[Point], chosen: int | None) -> str:
    step, value = max(points, key=lambda point: point[1])
    text = f"on held-out training images: at best {value:.1f} % at step {step:,.0f}."
    return text if chosen is None else f"{text} The set is that of step {chosen:,} (ringed)."


def _budget(artefact: Artefact) -> Markup:
    card, totals, ledger = artefact.card, artefact.totals, artefact.ledger
    full = math.prod(card.shape) * FLOAT32_BYTES * len(card.class_names)
    three = [
        ("images per class", f"{totals.images_per_class:,}"),
        ("stored values", f"{totals.values:,}"),
        ("bytes in all", f"{totals.all:,}"),
    ]
    counts = [
        ("The papers’ count", f"{_exact(totals.paper)}: images or their factors"),
        ("Everything stored", f"{_exact(totals.all)}: all that is needed to use the set"),
        ("In full images", f"{totals.paper / full:,.2f} float32 images per class"),
        ("Limit", _limit(totals.limit, totals.count)),
    ]
    if totals.unused is not None:
        counts.append(("Unused", _exact(totals.unused)))
    entries = [
        [
            tag("code", entry.name),
            " × ".join(map(str, entry.shape)),
            entry.dtype,
            f"{entry.bytes:,}",
            "yes" if entry.paper else "no",
            entry.why,
        ]
        for entry in ledger.entries
    ]
    return join(
        pairs(three, class_="three"),
        pairs(counts, class_="pairs"),
        table(
            ["Tensor", "Shape", "Type", "Bytes", "In the papers’ count", "What for"],
            entries,
            caption="The ledger: every stored tensor.",
            numeric=(3,),
        ),
    )


def _exact(size: int) -> str:
    rounded = f" ({format_bytes(size)})" if size >= 10_000 else ""
    return f"{size:,} bytes{rounded}"


def _limit(limit: int | None, count: str) -> str:
    if limit is None:
        return "none in bytes; a number of images was asked for"
    counted = "everything stored" if count == "all" else "the papers’ count"
    return f"{_exact(limit)} for {counted}"


def _protocol(artefact: Artefact) -> Markup:
    card = artefact.card
    name = str(card.settings.get("card", ""))
    items = [("Evaluation card", name or "not recorded")]
    if name in CARDS:
        recipe = CARDS[name]
        items += [
            ("Recipe", recipe.summary),
            ("Epochs", f"{recipe.epochs:,}, batches of {recipe.batch}"),
            ("Optimiser", f"SGD, learning rate {recipe.lr:g}, momentum {recipe.momentum:g}"),
            ("Weight decay", f"{recipe.weight_decay:g}"),
            ("Augmentation", recipe.strategy(_dataset(artefact)).replace("_", ", ")),
        ]
    items.append(("Iterate", _iterate(artefact)))
    if card.validation is not None:
        items.append(("Validation accuracy", f"{card.validation:.1f} % on held-out images"))
    return pairs(items, class_="pairs")


def _iterate(artefact: Artefact) -> str:
    card = artefact.card
    if card.iterate == "selected":
        return f"step {card.step:,}, selected on held-out training images"
    return f"step {card.step:,}, the last one"


def _settings(artefact: Artefact) -> Markup:
    items = [
        (tag("code", breakable(name)), breakable(_value(value)))
        for name, value in flatten(artefact.card.settings)
    ]
    return pairs(items, class_="pairs columns") if items else Markup("")


def flatten(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, object]]:
    """Yield every setting with its dotted name, nested ones after their parents."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _value(value: object) -> str:
    match value:
        case None | {}:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case list() | tuple():
            return ", ".join(map(_value, value))
        case _:
            return str(value)


def _provenance(artefact: Artefact) -> Markup:
    card = artefact.card
    kept = [(name, _value(v)) for name, v in flatten(card.provenance) if name != "command"]
    whitening = [] if card.zca == "none" else [("whitening", card.zca)]
    items = [
        *kept,
        ("seed", str(card.seed)),
        ("image shape", " × ".join(map(str, card.shape))),
        ("mean of pixels", ", ".join(f"{value:.4f}" for value in card.mean)),
        ("deviation of pixels", ", ".join(f"{value:.4f}" for value in card.std)),
        *whitening,
        ("storage", card.storage),
        ("labels", "learnt" if card.learned_labels else "the class of each image"),
    ]
    return pairs([(name, breakable(value)) for name, value in items], class_="pairs columns")
