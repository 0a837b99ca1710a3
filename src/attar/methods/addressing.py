"""RememberThePast (RTP): bases that all classes share, learnt through whole trainings on the set.

Source: Deng and Russakovsky, Remember the Past: Distilling Datasets into Addressable Memories for
Neural Networks, 2022, and the options of their code, whose one command is for CIFAR-10 at one image
per class: 16 bases at half the side. These are two fifths of that memory, and are that here for
every data set and budget, where it is not more than a basis has values.

The authors' code also adds 1e-4 times the norm of the addresses of each minibatch to the loss that
it goes back through. There it does nothing: it takes the slope of g·v, g being the gradient for
the network's parameters, of which the norm is a constant. Here it acts as it is meant, as a penalty
whose slope is the mean of theirs over minibatches; a weight of 0 gives what their code does.
"""

from __future__ import annotations

import dataclasses
import math

from attar.errors import BadRequest
from attar.methods.recipe import Recipe, published_network
from attar.methods.task import Task
from attar.objectives import AddressNorm, UnrolledTraining
from attar.shapes import least_side
from attar.synthetic import Addressed, Layout, LowRank, Parametrization, images_within

ITERATIONS = 500_000
# of the authors, for the addresses of a minibatch
NORM_WEIGHT = 1e-4
# of factored bases, unpublished: half the values of one of 16×16
RANK = 4


def shape(task: Task) -> Addressed:
    """Return bases at half the side, of two fifths of the memory of a task, one at least."""
    form = Addressed()
    form.check_shape(task.shape)
    form = dataclasses.replace(form, factor=min(form.factor, *task.shape[1:]))
    basis = math.prod(form.basis(task.shape))
    memory = task.ipc * task.classes * math.prod(task.shape)
    return dataclasses.replace(form, bases=max(1, min(2 * memory // (5 * basis), basis)))


def _recipe(task: Task, form: Parametrization) -> Recipe:
    objective = UnrolledTraining()
    layout = Layout(task.classes, 1, task.shape)
    try:
        rows = images_within(task.ipc, layout, form, "float32")
    except BadRequest:
        # a smaller form may be asked for; the plan refuses what does not fit
        rows = objective.batch
    # the norm of a minibatch is about that of all addresses times the root of its share of them
    share = min(1.0, objective.batch / rows)
    return Recipe(
        objective=objective,
        parametrization=form,
        optimisers=form.own_optimisers(),
        iterations=ITERATIONS,
        init="noise",
        network=_network(task),
        card="rtp",
        penalty=AddressNorm(NORM_WEIGHT * objective.steps * math.sqrt(share)),
    )


def _network(task: Task) -> str:
    """Return the authors' network, which has a block more for 64 and 84 pixels."""
    return "convnet4" if 64 <= least_side(task.shape) < 112 else published_network(task)


def remember_the_past(task: Task) -> Recipe:
    """Return RememberThePast."""
    return _recipe(task, shape(task))


def lortp(task: Task) -> Recipe:
    """Return RememberThePast with as many bases as low-rank factors; more images fit beside."""
    form = shape(task)
    rank = min(RANK, *form.basis(task.shape)[1:])
    return _recipe(task, LowRank(rank, form))
