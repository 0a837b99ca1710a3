"""Knowledge Factorization and Sharing (KFS): distribution matching on decoded latent codes.

Source: Lee et al. 2022, as Dataset Condensation via Expert Subspace Projection tells it: the
values per class (Table 1) and, for codes and decoders, Adam with its learning rates and their
linear decay, and a start from noise (section 4.2). Shapes of codes and decoders and the number of
iterations are not published: the shapes are ours (`benchmarks/decoded_shapes.py` compares others:
more decoders and smaller codes make more images, at more time for an update), the number of
iterations is that of DM.
"""

from __future__ import annotations

import math

from attar.budget import Budget
from attar.errors import BadRequest
from attar.methods.distribution import ITERATIONS, augmentation
from attar.methods.recipe import Recipe, published_network
from attar.methods.task import Task
from attar.objectives import DistributionMatching
from attar.shapes import least_side
from attar.synthetic import Allowance, Decoded, Kept, Layout, fill

# from so many images per class on, codes are larger rather than more
_SEVERAL = 10
_DECODERS = 4
# the widest decoder, and the share of the memory that all decoders together may take
_HIDDEN = 16
_SHARE = 0.25
_FILLED = 0.97
# codes keep this many pixels along a side, so that images keep their parts apart
_SMALLEST_SIDE = 4


def shape(task: Task) -> Decoded:
    """Return codes and decoders that fill the memory of a task.

    A code keeps about 8 pixels along a side and takes a sixteenth of an image's values; from 10
    images per class on, 16 pixels and a quarter. Four decoders have the most hidden channels, up
    to 16, with which they take at most a quarter of the memory and at least 97 % of it is used;
    codes may have a channel less or more for that. Where nothing does, what uses most is taken,
    and where even four decoders of one hidden channel are too large, there are fewer.

    Raises:
        BadRequest: the memory holds no code for each class beside one decoder.
    """
    upsamplings, channels = _code(task)
    for decoders in range(_DECODERS, 0, -1):
        forms = [
            Decoded(decoders, count, upsamplings, hidden)
            for count in (channels, channels - 1, channels + 1)
            for hidden in range(_HIDDEN, 0, -1)
            if count > 0
        ]
        filled = {form: _used(form, task) for form in forms}
        fitting = [form for form in forms if filled[form] > 0]
        fitting = [form for form in fitting if _share(form, task) <= _SHARE] or fitting
        if fitting:
            full = [form for form in fitting if filled[form] >= _FILLED]
            return full[0] if full else max(fitting, key=lambda form: filled[form])
    least = Decoded(1, channels, upsamplings, 1).values(Layout(task.classes, 1, task.shape))
    raise BadRequest(
        f"a memory of {_memory(task)} values holds no latent code for each of the {task.classes} "
        f"classes beside a decoder, which take {least}; raise --ipc or --bytes, or choose a method "
        "without decoders, such as --method lodm"
    )


def _code(task: Task) -> tuple[int, int]:
    """Return how often decoders double the sides of a code, and its channels."""
    few = task.ipc < _SEVERAL
    Decoded().check_shape(task.shape)
    side = least_side(task.shape)
    wanted = side // (8 if few else 16)
    doublings = max(2 if few else 1, wanted.bit_length() - 1)
    while doublings and side < _SMALLEST_SIDE * 2**doublings:
        doublings -= 1
    return doublings, max(1, task.shape[0] * 4**doublings // (16 if few else 4))


def _memory(task: Task) -> int:
    return task.ipc * task.classes * math.prod(task.shape)


def _used(form: Decoded, task: Task) -> float:
    """Return the share of the memory of a task that a form uses; 0 where nothing fits."""
    try:
        filled = fill(Kept(form), Allowance(Budget(ipc=task.ipc)), task)
    except BadRequest:
        return 0.0
    return filled.ledger.values / _memory(task)


def _share(form: Decoded, task: Task) -> float:
    """Return the share of the memory of a task that the decoders take."""
    return form.decoder_values(task.shape) / _memory(task)


def kfs(task: Task) -> Recipe:
    """Return KFS: latent codes through four small decoders, started from noise."""
    form = shape(task)
    return Recipe(
        objective=DistributionMatching(augment=augmentation(task)),
        parametrization=form,
        optimisers=form.own_optimisers(),
        iterations=ITERATIONS,
        init="noise",
        network=published_network(task),
        card="dsa-1000",
    )
