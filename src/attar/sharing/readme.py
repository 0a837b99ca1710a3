"""The card of a shared set as the page of a data set on the Hub: Markdown below YAML."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from attar.budget import format_bytes
from attar.evaluation.exported import Exported
from attar.evaluation.record import Evaluation
from attar.hub import SET
from attar.sharing.card import Card
from attar.sharing.licences import OTHER, in_words
from attar.sharing.table import LABEL, SOFT, column_of
from attar.text import counted, printable
from attar.unplaced import without_folders

# the sizes by which the Hub files data sets
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGEST = "n>1M"


def as_readme(card: Card) -> str:
    """Return a card as the text of a ``README.md``."""
    head = yaml.safe_dump(_facts(card), sort_keys=False, allow_unicode=True, width=100)
    sections = [
        f"# {_plain(card.title)}",
        _plain(card.description),
        _use(card),
        _network(card),
        _rows(card),
        _accuracy(card),
        _source(card),
        _privacy(card),
        _files(card),
        _again(card),
    ]
    return f"---\n{head}---\n\n" + "\n\n".join(filter(None, sections)) + "\n"


def _facts(card: Card) -> dict[str, Any]:
    """Return what the Hub reads at the head of the page."""
    kind, _, name = card.licence.partition(":")
    task = "image-classification" if len(card.header.shape) == 3 else "tabular-classification"
    size = next((name for most, name in _SIZES if card.rows < most), _LARGEST)
    source = {"source_datasets": [f"extended|{card.source.name}"]} if card.source.on_hub else {}
    tables = [one.path for one in card.files if one.path.endswith(".parquet")]
    split = {"split": "train", "path": tables}
    return {
        "license": kind,
        **({"license_name": in_words(name).lower().replace(" ", "-")} if kind == OTHER else {}),
        "pretty_name": card.title,
        "task_categories": [task],
        "size_categories": [size],
        **source,
        "tags": ["dataset-condensation", "dataset-distillation", "attar", "croissant"],
        "configs": [{"config_name": "default", "data_files": [split]}],
    }


def _use(card: Card) -> str:
    address = f"hub:{card.repository}" if card.repository else SET
    table = card.repository or "path/of/this/folder"
    column = column_of(card.header)
    return f"""## Use

With [Attar](#files), every value as it was learnt:

```python
import attar
from torch.utils.data import DataLoader

condensed = attar.load("{address}")  # a torch Dataset of (image, label)
loader = DataLoader(condensed, batch_size=64, shuffle=True)
```

Without it, as a table:

```python
from datasets import load_dataset

rows = load_dataset("{table}", split="train")
rows[0]["{column}"], rows[0]["{LABEL}"]
```

{_preprocessing(card)}"""


def _preprocessing(card: Card) -> str:
    header = card.header
    if not header.mean:
        return "Real rows are standardised as `artefact.preprocessing` says before they are tested."
    values = ", ".join(f"{value:.4f}" for value in header.mean)
    spread = ", ".join(f"{value:.4f}" for value in header.std)
    told = (
        f"A network trained on these sees real images with pixels in [0, 1] minus {values}, "
        f"divided by {spread}, per channel, at {'×'.join(map(str, header.shape[1:]))} pixels"
    )
    if header.zca != "none":
        return (
            f"{told}, and then whitened; `artefact.preprocessing.apply(pixels)` does it all. "
            "The table holds pixels before whitening."
        )
    return f"{told}; so does a network trained on the table."


def _network(card: Card) -> str:
    if not card.network:
        return ""
    told = (
        f"`{SET}` also holds {_plain(card.network)}, which was trained on the real images. Under "
        f"the card {card.header.card} networks learn from what it says of every batch, augmented "
        "and mixed. The table is without it: of that, classes are all that is learnt from."
    )
    return f"""## Network

{told}

```python
teacher = attar.teacher_of(condensed)  # a torch module: scores of images as the set gives them
```"""


def _rows(card: Card) -> str:
    header = card.header
    lines = [
        "## Rows",
        f"{counted(card.rows, 'row')}, {header.counted} per class, of "
        f"{'×'.join(map(str, header.shape))} values, in this order: `{column_of(header)}`, "
        f"`{LABEL}`" + (f", `{SOFT}`." if header.learned_labels else "."),
    ]
    if header.learned_labels:
        lines.append(
            f"`{SOFT}` holds the learnt value of every class, which training takes in place of "
            f"`{LABEL}`; the evaluation card {header.card} says by which loss."
        )
    names = ", ".join(_plain(one) for one in header.class_names)
    lines.append(f"Classes: {names}.")
    return "\n\n".join(lines)


def _accuracy(card: Card) -> str:
    lines = ["## Accuracy"]
    if card.measured:
        lines.append("Of fresh networks, tested on real images that are not among those condensed:")
        lines += map(_measured, card.measured)
    else:
        lines.append("Not measured when it was shared; `attar evaluate` measures it.")
    return "\n\n".join([*lines, *_lost(card)])


def _measured(found: Evaluation) -> str:
    told = _lines(
        f"{_plain(row.name)}, {one.network}: {one.mean:.2f} ± {one.std:.2f} % (mean ± std over "
        f"{len(one.accuracies)})"
        for row in found.rows
        for one in row.results
    )
    return f"Card {found.card}, {_plain(without_folders(found.data))}:\n\n{told}"


def _lost(card: Card) -> list[str]:
    """Say what the pictures of the table lose beside the set."""
    if not card.pictures:
        return ["The table holds every value of the set as float32."]
    clipped = (
        "no pixel value is clipped" if card.clipped is None else f"{card.clipped} and are clipped"
    )
    said = f"The table's pictures are of 8 bits, to which values are rounded; {clipped}."
    if card.as_pictures is None:
        return [f"{said} What that costs in accuracy was not measured (`attar push --evaluate`)."]
    by = " with the network in it" if card.network else ""
    return [
        f"{said} Accuracy on them minus that on the set{by}:",
        _lines(_costs(card.as_pictures)),
    ]


def _costs(found: Exported) -> list[str]:
    return [
        f"{name}: {one.mean:+.2f} ± {one.std:.2f} points (mean ± std over {len(one.values)} pairs)"
        for name, one in found.differences.items()
    ]


def _source(card: Card) -> str:
    source = card.source
    name = _plain(source.name)
    linked = f"[{name}](https://huggingface.co/datasets/{source.name})" if source.on_hub else name
    return (
        f"## Source and licences\n\nMade from {linked}, whose licence is "
        f"{_plain(in_words(source.licence))}. The licence of this set is "
        f"{_plain(in_words(card.licence))}; what the source's asks of works made from it holds too."
    )


def _privacy(card: Card) -> str:
    begun = (
        "Its images began as real ones, or are such: people, places and texts in these can be "
        "recognised."
        if card.from_real_images
        else "Its images did not begin as real ones, but were learnt from such, and can carry "
        "traces of them."
    )
    if card.network:
        begun += (
            " Its file also holds a network that was trained on all the real images, which can be "
            "asked about any of them."
        )
    return f"## Privacy\n\n{begun} A condensed set is not anonymous; `attar audit` measures a leak."


def _files(card: Card) -> str:
    told = (
        f"`{one.path}`: {one.what}, {format_bytes(one.nbytes)}, sha256 `{one.sha256}`"
        for one in card.files
    )
    return f"## Files\n\n{_lines(told)}"


def _again(card: Card) -> str:
    if card.command is None:
        return ""
    return f"## Make it again\n\n```sh\n{card.command}\n```"


def _lines(found: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in found)


def _plain(text: str) -> str:
    """Return a text of anybody's as Markdown shows it, letter by letter."""
    shown = printable(text)
    return "".join(f"\\{one}" if one in "\\`*[]<>|#!" else one for one in shown)
