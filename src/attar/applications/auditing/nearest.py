"""Which real images lie nearest to those of a set, by differences of pixels that are exact.

Shape letters: R images of the set, Q queries, N real images, D values of an image.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from attar.artefact.artefact import Artefact
from attar.data.images import LabelledImages

# real images that are compared at once
_CHUNK = 1024


@dataclass(frozen=True)
class Nearest:
    """Distances between real images and queries.

    Args:
        of_images: N, of each real image to the nearest of the first queries.
        of_queries: Q, of each query to the nearest real image.
        which: Q, the index of that real image.
    """

    of_images: Tensor
    of_queries: Tensor
    which: Tensor


def pixels_of(images: LabelledImages, index: Tensor) -> Tensor:
    """Return real images as the artefact's own are seen: pixels, or vectors in their units.

    They go through the arithmetic of the preprocessing and back, as those of a set have: what is
    equal stays equal to the last bit. Whitening, which rounds more, is left out.
    """
    plain = dataclasses.replace(images.preprocessing, whitening=None)
    return plain.invert(dataclasses.replace(images, preprocessing=plain).take(index))


def set_pixels(artefact: Artefact) -> Tensor:
    """Return the decoded images of a set likewise, not clipped."""
    return artefact.raw_pixels


def nearest(queries: Tensor, first: int, images: LabelledImages) -> Nearest:
    """Return the distances of queries to real images and back: root mean square differences.

    Args:
        queries: Q rows of pixels.
        first: to how many of the queries, from the first on, real images are compared.
        images: real ones, which are read in parts.
    """
    flat = queries.flatten(1)
    of_queries = torch.full((len(flat),), torch.inf)
    which = torch.zeros(len(flat), dtype=torch.int64)
    of_images = []
    for index in torch.arange(len(images)).split(_CHUNK):
        part = pixels_of(images, index).flatten(1)
        # by default, torch's cdist takes a product of matrices from 26 rows on, and copies are
        # then no longer at distance 0
        found = torch.cdist(part, flat, compute_mode="donot_use_mm_for_euclid_dist")
        found /= math.sqrt(flat.shape[1])
        of_images.append(found[:, :first].amin(dim=1))
        least, place = found.min(dim=0)
        nearer = least < of_queries
        of_queries = torch.where(nearer, least, of_queries)
        which = torch.where(nearer, index[place], which)
    return Nearest(torch.cat(of_images), of_queries, which)
