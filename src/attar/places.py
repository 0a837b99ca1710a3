"""Where Attar keeps what it downloads and decodes."""

from __future__ import annotations

import os
from pathlib import Path


def default_data_dir() -> Path:
    """Return where downloads are kept: $ATTAR_DATA, or the user's folder for caches.

    It is ``~/.cache/attar`` on Linux, below ``$XDG_CACHE_HOME`` where that is set. One that an
    earlier version made in ``~/.cache`` stays in use until there is the other.
    """
    from platformdirs import user_cache_path

    if given := os.environ.get("ATTAR_DATA"):
        return Path(given).expanduser()
    usual, before = user_cache_path("attar", appauthor=False), Path("~/.cache/attar").expanduser()
    return before if before.is_dir() and not usual.exists() else usual
