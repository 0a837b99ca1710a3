"""Sets that Attar exported with every value: arrays, or pictures with what is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attar.data import exports
from attar.data.exported_files import read_plain
from attar.errors import BadRequest
from attar.importing.contents import Content
from attar.importing.found import Asked, Found
from attar.importing.torch_sets import only_one


def is_export(contents: Sequence[Content]) -> bool:
    """Tell whether this is one export that says what its values mean."""
    if len(contents) != 1:
        return False
    (content,) = contents
    if content.kind == "folder":
        return exports.read_told(Path(content.path)) is not None
    told = {"images", "labels", "class_names", exports.MEAN, exports.STD, exports.ZCA}
    return content.kind == "npz" and told <= set(content.value)


def read_export(contents: Sequence[Content], asked: Asked) -> Found:
    """Read an export; see `attar.data.exported_files`."""
    content = only_one(contents, "export")
    if asked.resize is not None:
        raise BadRequest(
            f"--resize {asked.resize[0]}: {content.path} is an export of a set, whose images keep "
            "their size; leave it out"
        )
    found = read_plain(content.path)
    constants, zca = None, "none"
    if found.constants is not None:
        mean, std, zca = found.constants
        constants = (tuple(mean), tuple(std))
    whitened = zca != "none"
    inputs = found.inputs if whitened else None
    return Found(
        found.pixels.contiguous() if inputs is None else inputs.contiguous(),
        found.labels,
        method="export",
        family="dc",
        pixels=inputs is None,
        whitening=zca if whitened else "",
        whitened=zca,
        factor=asked.factor or 1,
        class_names=found.class_names,
        classes=found.classes,
        constants=constants,
    )
