"""A set as a table of rows that `datasets.load_dataset` reads, without Attar."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from attar.artefact.artefact import Artefact
from attar.artefact.exporting import image_array
from attar.errors import BadRequest
from attar.sharing.card import holds_pictures

# columns
IMAGE, FEATURES, LABEL, SOFT = "image", "features", "label", "soft_label"


def column_of(header: Any) -> str:
    """Return the name of the column that networks learn from."""
    return IMAGE if len(header.shape) == 3 else FEATURES


def write_table(artefact: Artefact, path: Path) -> None:
    """Write a set as parquet: an image, its label and, where labels are learnt, a soft one.

    Images of 1 or 3 channels are PNG of 8 bits; those of others, and vectors, float32 values as
    they are, C×H×W or D. Labels have the names of their classes.

    Raises:
        BadRequest: the library for it is missing.
    """
    try:
        import datasets
        import pyarrow.parquet
    except ImportError as error:
        raise BadRequest(
            "a table of the set needs the library 'datasets': pip install 'attar[hf]'"
        ) from error
    header = artefact.header
    label: Any = datasets.ClassLabel(names=list(header.class_names))
    columns, kinds = _rows(artefact, datasets)
    columns[LABEL] = artefact.synthetic.class_of_row.tolist()
    kinds[LABEL] = label
    if artefact.labels.ndim == 2:
        columns[SOFT] = artefact.labels.tolist()
        kinds[SOFT] = datasets.Sequence(datasets.Value("float32"), length=len(header.class_names))
    made: Any = datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))
    # as `to_parquet` does, without its progress bar
    pyarrow.parquet.write_table(made.data.table, path)


def _rows(artefact: Artefact, datasets: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what networks learn from, and of what kind it is."""
    header, name = artefact.header, column_of(artefact.header)
    if holds_pictures(header):
        from PIL import Image

        def png(values: Any) -> dict[str, Any]:
            kept = io.BytesIO()
            shown = values[..., 0] if values.shape[-1] == 1 else values
            Image.fromarray(shown).save(kept, format="PNG")
            return {"bytes": kept.getvalue(), "path": None}

        return {name: [png(one) for one in image_array(artefact)]}, {name: datasets.Image()}
    values = artefact.raw_pixels.numpy()
    if len(header.shape) == 1:
        kind = datasets.Sequence(datasets.Value("float32"), length=header.shape[0])
        return {name: list(values)}, {name: kind}
    return {name: list(values)}, {
        name: datasets.Array3D(shape=tuple(header.shape), dtype="float32")
    }
