"""A condensed set as an object of the library `datasets`."""

from __future__ import annotations

from typing import Any

from attar.artefact.grid import as_picture
from attar.errors import BadRequest


def to_datasets(own: Any) -> Any:
    """Return a ``datasets.Dataset``; see `CondensedDataset.as_datasets`."""
    try:
        import datasets
    except ImportError as error:
        raise BadRequest(
            "as_datasets needs the library 'datasets': pip install 'attar[hf]'"
        ) from error
    shape: tuple[int, ...] = tuple(own.header.shape)
    axes, channels = len(shape), shape[0]
    arrays = {2: datasets.Array2D, 3: datasets.Array3D, 4: datasets.Array4D}
    value = datasets.Value("float32")
    inputs: Any = datasets.Sequence(value, length=channels)
    if axes > 1:
        if axes not in arrays:
            raise BadRequest(f"as_datasets: rows of {axes} axes have no column there")
        inputs = arrays[axes](shape, "float32")
    features: dict[str, Any] = {}
    columns: dict[str, Any] = {}
    if own.modality.gallery and channels in (1, 3):
        features["image"] = datasets.Image()
        columns["image"] = [as_picture(one) for one in own.pixels]
    features |= {"pixel_values": inputs, "label": datasets.ClassLabel(names=own.classes)}
    columns |= {"pixel_values": list(own.images.numpy()), "label": own.targets}
    if own.labels.ndim == 2:
        features["soft_label"] = datasets.Sequence(value, length=len(own.classes))
        columns["soft_label"] = own.labels.tolist()
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))
