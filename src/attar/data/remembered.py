"""What was found by going through all rows, remembered beside those that are kept on disk.

It is found again where a file of the source has another name, size or time of change, since the
rows then have another name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from attar.data.rows import Picked, Rows
from attar.errors import RunFailed
from attar.files import write_atomically


def remembered(rows: Rows, what: str, find: Callable[[], Any]) -> Any:
    """Return what was found, as JSON gives it back, or find it.

    Args:
        rows: that it was found in.
        what: that was looked for, with all else that it depends on.
        find: goes through them.
    """
    kept = _place_of(rows)
    if kept is None:
        return find()
    path = kept.with_name(f"{kept.name}.{_digest(what.encode())}.json")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = find()
    # what cannot be kept is found again
    with contextlib.suppress(RunFailed):
        write_atomically(path, lambda temporary: temporary.write_text(json.dumps(found)))
    return found


def _place_of(rows: Rows) -> Path | None:
    """Return a name that no other rows have, beside the file that these lie in; None for none."""
    if isinstance(rows, Picked):
        whole = _place_of(rows.whole)
        own = _digest(rows.index.to(torch.int64).contiguous().numpy().data)
        return None if whole is None else whole.with_name(f"{whole.name}.{own}")
    return getattr(rows, "kept_as", None)


def _digest(data: bytes | memoryview) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()
