"""Expert trajectories that the sets of a suite follow, trained once for all sets alike."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from attar.benching.folder import Folder, plain
from attar.benching.making import Making, slug, source_identity
from attar.experts.making import train_experts
from attar.settling import whitening_kind


def trained(making: Making, folder: Folder, data_dir: Path | None) -> Path:
    """Return the folder of the experts that a set follows, after training what is missing.

    Sets of one dataset that match in the same network and see images whitened in the same way
    follow the same experts. Processes that need the same ones at once share the work.

    Args:
        making: a set that follows experts.
        folder: of the suite.
        data_dir: where named datasets lie; None for the default.

    Raises:
        RunFailed: the training diverged, or was interrupted.
    """
    assert making.experts is not None
    request = making.request()
    options = dict(making.experts)
    options["zca"] = whitening_kind(request, making.source)
    options["network"] = request.network
    for name in ("device", "precision", "compile"):
        options.setdefault(name, getattr(request, name))
    output = folder.root / "experts" / slug(making.dataset) / _digest(making, options)
    train_experts(making.source, output=output, data_dir=data_dir, **making.reading, **options)
    return output


def _digest(making: Making, options: dict[str, object]) -> str:
    depends = [source_identity(making.source), dict(making.reading), options]
    text = json.dumps(plain(depends), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
