"""Expert subspace projection (ESP), with the authors' settings where their paper has them.

Source: Ma et al., Dataset Condensation via Expert Subspace Projection, 2023, section 4.2 and
Algorithm 1. From there: latent codes and decoders as those of KFS, from noise; the student's
learning rate of 0.1, Adam at 0.1 for codes and 0.01 for decoders, both falling linearly to 0. Their
code is not public, and the paper says neither the length of a segment (T), nor the number of
updates with it (N), nor that of all updates, nor the real images per step. Here T is 3 and N is 10,
there are 20,000 updates, and 256 real images of each class per update, the latter two as in DM.

As printed (β = 1e-5 with the L1 norm, binary cross-entropy, the span of the snapshots), sets made
by the projection loss alone were no better than chance, and it added nothing to distribution
matching. Relative to the gradient's own size, in the span of the differences between snapshots and
with cross-entropy, it makes sets by itself as in the paper's Table 4, so that is taken here
(measured in the benchmarks page); `SubspaceProjection` itself starts from what is printed.
"""

from __future__ import annotations

from attar.methods.distribution import ITERATIONS, augmentation
from attar.methods.factorized import shape
from attar.methods.recipe import Recipe, published_network
from attar.methods.task import Task
from attar.objectives import SubspaceProjection

LENGTH = 3
STEPS = 10
PROJECTION = 10.0


def esp(task: Task) -> Recipe:
    """Return ESP on codes and decoders of KFS's shapes; no mirrored digits."""
    form = shape(task)
    return Recipe(
        objective=SubspaceProjection(
            length=LENGTH,
            steps=STEPS,
            projection=PROJECTION,
            span="differences",
            norm="relative",
            loss="cross_entropy",
            augment=augmentation(task),
        ),
        parametrization=form,
        optimisers=form.own_optimisers(),
        iterations=ITERATIONS,
        init="noise",
        network=published_network(task),
        card="dsa-1000",
    )
