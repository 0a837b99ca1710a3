"""The formats that can be imported; adding one is a reader and one entry in `FORMATS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attar.errors import BadRequest, unknown
from attar.importing.contents import Content
from attar.importing.exports import is_export, read_export
from attar.importing.found import Asked, Found
from attar.importing.hallucinators import is_haba, read_haba
from attar.importing.memories import is_rtp, read_rtp
from attar.importing.picture_folders import is_folder, read_folder
from attar.importing.prototypes import is_prototypes, read_prototypes
from attar.importing.torch_sets import is_dc, is_idc, is_mtt, read_dc, read_idc, read_mtt


@dataclass(frozen=True)
class Format:
    """One way in which condensed sets are written.

    Args:
        name: on the command line.
        fits: whether files look like it.
        read: what they hold.
        card: evaluation card of its authors.
    """

    name: str
    fits: Callable[[Sequence[Content]], bool]
    read: Callable[[Sequence[Content], Asked], Found]
    card: str


FORMATS = {
    one.name: one
    for one in (
        Format("export", is_export, read_export, "dsa-1000"),
        Format("dc", is_dc, read_dc, "dsa-1000"),
        Format("idc", is_idc, read_idc, "idc"),
        Format("haba", is_haba, read_haba, "haba"),
        Format("rtp", is_rtp, read_rtp, "rtp"),
        Format("mtt", is_mtt, read_mtt, "mtt"),
        Format("frepo", is_prototypes, read_prototypes, "frepo"),
        Format("folder", is_folder, read_folder, "dsa-1000"),
    )
}


def find_format(name: str, contents: Sequence[Content]) -> Format:
    """Return a format by name, or for ``auto`` the one that files look like.

    Raises:
        BadRequest: an unknown name, or files that look like none.
    """
    if name != "auto":
        if name not in FORMATS:
            raise unknown("format (--format)", name, [*FORMATS, "auto"])
        return FORMATS[name]
    for one in FORMATS.values():
        if one.fits(contents):
            return one
    said = "; ".join(f"{content.path} holds {content.described}" for content in contents)
    raise BadRequest(
        f"--format auto knows none of these: {said}. Give --format {', '.join(FORMATS)}, and all "
        "files of the set (images and labels, or bases and hallucinators)"
    )
