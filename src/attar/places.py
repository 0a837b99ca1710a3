"""Where Attar keeps what it downloads and decodes."""

from __future__ import annotations

import os
from pathlib import Path


def default_data_dir() -> Path:
    """Return where downloads are kept: $ATTAR_DATA, or ~/.cache/attar."""
    return Path(os.environ.get("ATTAR_DATA") or "~/.cache/attar").expanduser()
