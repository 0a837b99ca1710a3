"""Sets that are plain pictures: SRe2L, RDED and EDC write one folder of JPEGs per class."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from attar.data.arrays import to_type
from attar.data.decoding import decode_parts
from attar.data.folders import list_images
from attar.errors import BadRequest
from attar.importing.contents import Content
from attar.importing.found import Asked, Found
from attar.importing.torch_sets import only_one


def is_folder(contents: Sequence[Content]) -> bool:
    """Tell whether this is one folder."""
    return len(contents) == 1 and contents[0].kind == "folder"


def read_folder(contents: Sequence[Content], asked: Asked) -> Found:
    """Read a folder with one subfolder of pictures per class; see `attar.data.folders`."""
    content = only_one(contents, "folder")
    if content.kind != "folder":
        raise BadRequest(f"{content.path} is a file; --format folder needs a folder")
    listed = list_images(content.path)
    (images,) = decode_parts([listed.pictures], asked.resize)
    return Found(
        to_type(images[:], torch.float32),
        listed.labels,
        method="folder",
        family="dc",
        pixels=True,
        factor=asked.factor or 1,
        class_names=listed.class_names,
    )
