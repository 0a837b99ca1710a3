"""What a set loses as plain files: networks trained on it, and on what was exported read back."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import torch

from attar.artefact.artefact import Artefact
from attar.artefact.loading import load
from attar.data.exported_files import read_plain
from attar.errors import BadRequest
from attar.evaluation.comparison import evaluate
from attar.evaluation.ranking import Spread
from attar.evaluation.real import read_splits
from attar.evaluation.request import EvaluateOptions
from attar.evaluation.rows import Row
from attar.evaluation.telling import EvaluationCallback, Silent
from attar.options import READING
from attar.shapes import shape_text
from attar.synthetic import PLAIN, Synthetic


@dataclass(frozen=True)
class Exported:
    """A set beside the same as plain files.

    Args:
        own: what networks learn from the set.
        exported: what they learn from the files: the same networks, with the same seeds.
    """

    own: Row
    exported: Row

    @property
    def differences(self) -> dict[str, Spread]:
        """Accuracy from the files minus that from the set, network by network of each kind."""
        pairs = zip(self.own.results, self.exported.results, strict=True)
        return {
            one.network: Spread(
                tuple(b - a for a, b in zip(one.accuracies, other.accuracies, strict=True))
            )
            for one, other in pairs
        }

    def as_dict(self) -> dict[str, Any]:
        """Return it as a plain dictionary."""
        found = {name: one.as_dict() for name, one in self.differences.items()}
        rows = {"set": self.own.as_dict(), "exported": self.exported.as_dict()}
        return {**rows, "differences": found}


def evaluate_export(
    artefact: Artefact | str | Path,
    path: str | Path,
    data: Any = None,
    *,
    ipc: int | None = None,
    callback: EvaluationCallback | None = None,
    networks: Any = None,
    repeats: int = 5,
    card: str | None = None,
    **options: Unpack[EvaluateOptions],
) -> Exported:
    """Train networks on a set and on its plain files read back, and test both on real images.

    Args:
        artefact: or the path of one.
        path: of what `attar.export` wrote of it: a folder, or an ``.npz`` file.
        data: the real images, as `attar.evaluate` takes them.
        ipc: the smaller memory at which it was exported.
        callback: told how it goes.
        networks: as `attar.evaluate` takes them.
        repeats: how many of each.
        card: name of the evaluation card; by default the artefact's own.
        **options: further ones of `attar.evaluate`.

    Raises:
        BadRequest: as `attar.evaluate` does; or the files are not those of this set.
    """
    given: dict[str, Any] = {**options}
    own = artefact if isinstance(artefact, Artefact) else load(artefact, ipc)
    again = read_back(own, Path(path))
    told = callback or Silent()
    reading = {name: given.pop(name) for name in READING if name in given and name != "name"}
    # once for both
    splits = read_splits(own, data, watch=told.reading, **reading)
    asked = {"networks": networks, "repeats": repeats, "card": card, "callback": told, **given}
    first, second = (evaluate(one, splits, **asked)[0] for one in (own, again))
    return Exported(first, dataclasses.replace(second, name="as exported, read back"))


@torch.no_grad()
def read_back(artefact: Artefact, path: Path) -> Artefact:
    """Return a set whose images and labels are those of its plain files.

    Pictures of 8 bits come back under the preprocessing of the set, as a real image would.

    Raises:
        BadRequest: the files hold other rows than the set.
    """
    found = read_plain(path)
    images = found.inputs
    if images is None:
        images = artefact.preprocessing.apply(found.pixels)
    if images.shape != artefact.images.shape or found.labels.shape != artefact.labels.shape:
        raise BadRequest(
            f"{path} holds {len(images)} images of {shape_text(tuple(images.shape[1:]))}, and the "
            f"set {len(artefact)} of {shape_text(artefact.header.shape)}; export it again"
        )
    changes = {"parametrization": PLAIN.describe(), "storage": "float32", "nested": False}
    header = artefact.header.model_copy(update={**changes, "budget": {}})
    synthetic = Synthetic(header.layout, PLAIN, header.learned_labels)
    synthetic.images.fit(images)
    if synthetic.labels is not None:
        synthetic.labels.fit(found.labels)
    made = synthetic.requires_grad_(False)
    return Artefact(header, made, artefact.preprocessing, learned=artefact.learned)
