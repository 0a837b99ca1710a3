"""Where images lie while they are used."""

from __future__ import annotations

import torch

from attar.compute import Compute
from attar.data.images import LabelledImages


def place(train: LabelledImages, compute: Compute) -> LabelledImages:
    """Put the images on the device when they fit into half of its free memory."""
    if compute.device.type != "cuda":
        return train
    free, _ = torch.cuda.mem_get_info(compute.device)
    return train.to(compute.device) if train.nbytes * 2 < free else train
