"""The licences of what is shared, by the identifiers that the Hub knows."""

from __future__ import annotations

import re

from attar.errors import BadRequest
from attar.text import printable

EXAMPLES = "cc-by-4.0, cc0-1.0, mit, apache-2.0, or other:NAME for one of another name"
OTHER = "other"
# of those that the Hub lists, what is usual for data; others go by other:NAME
KNOWN = frozenset(
    (
        *("afl-3.0", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "c-uda", "cdla-permissive-1.0"),
        *("cdla-permissive-2.0", "cdla-sharing-1.0", "gfdl", "gpl-3.0", "lgpl-3.0", "agpl-3.0"),
        *("mit", "ms-pl", "odbl", "odc-by", "openrail", "pddl", "unlicense", "unknown", "wtfpl"),
        *("cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0"),
        *("cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0"),
        *("cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0"),
        "cc-by-nc-sa-4.0",
    )
)
_ADDRESSES = re.compile(r"cc-(by[a-z-]*)-(\d\.\d)")


def checked(option: str, given: str | None, of: str) -> str:
    """Return a licence as it is written down.

    Args:
        option: that names it.
        given: an identifier, or ``other:NAME``.
        of: what it is the licence of.

    Raises:
        BadRequest: none is given, or one that the Hub does not know.
    """
    if given is None or not given.strip():
        raise BadRequest(
            f"{option} is missing: say under which licence {of} may be used, such as {EXAMPLES}"
        )
    kind, colon, name = given.strip().partition(":")
    if kind.lower() in KNOWN and not colon:
        return kind.lower()
    if kind.lower() == OTHER and name.strip():
        return f"{OTHER}:{printable(name.strip())}"
    raise BadRequest(f"{option} {given}: no licence that the Hub knows; write {EXAMPLES}")


def in_words(licence: str) -> str:
    """Return a licence as people read it."""
    return licence.removeprefix(f"{OTHER}:")


def address(licence: str) -> str:
    """Return where a licence can be read, or its name where that is not known."""
    if found := _ADDRESSES.fullmatch(licence):
        return f"https://creativecommons.org/licenses/{found[1]}/{found[2]}/"
    if licence == "cc0-1.0":
        return "https://creativecommons.org/publicdomain/zero/1.0/"
    names = {"mit": "MIT", "apache-2.0": "Apache-2.0", "bsd-3-clause": "BSD-3-Clause"}
    return f"https://spdx.org/licenses/{names[licence]}" if licence in names else in_words(licence)
