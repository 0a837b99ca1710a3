"""A pool of networks that are trained on the synthetic set while it is learnt.

Source: Zhou et al., Dataset Distillation using Neural Feature Regression (FRePo), algorithm 1
and its authors' code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attar.compute import Functional
from attar.errors import BadRequest
from attar.objectives.base import Problem, State
from attar.objectives.derivatives import Tensors
from attar.rng import Key
from attar.synthetic import Synthetic
from attar.tensors import dotted, nested
from attar.training.call_size import Batch, check_whole, in_parts, most_per_call
from attar.training.evaluation_card import EvaluationCard
from attar.training.learning import Learning


@dataclass(frozen=True)
class Pool:
    """Networks of different ages; each use makes one of them a step older.

    At the beginning network i counts as i·age/size steps old without having been trained, so
    that they do not all end together. A network older than ``age`` is drawn anew.

    Args:
        size: number of networks.
        age: updates of a network before it is drawn anew.
        lr: learning rate of these updates, by Adam.
        batch: synthetic images per update, drawn at random; all where there are no more.
    """

    size: int = 10
    age: int = 100
    lr: float = 3e-4
    batch: int = 1000

    def check(self) -> None:
        """Refuse settings out of range, by the names that objectives give them."""
        if self.size < 1:
            raise BadRequest(f"pool {self.size}: at least one network is needed")
        if self.age < 0:
            raise BadRequest(f"age {self.age}: 0 updates or more")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise BadRequest(f"lr_network {self.lr:g}: a positive number is needed")

    def check_together(self, problem: Problem) -> None:
        """Refuse updates on more images than memory holds, where they have to go together.

        Raises:
            BadRequest: in a network with batch normalization.
        """
        images = min(self.batch, problem.layout.rows)
        check_whole(problem.network, problem.compute, images, "lower --ipc")

    def init(self, problem: Problem, key: Key) -> State:
        """Return the pool before the first step."""
        return {
            str(i): self._drawn(problem, key.fold("pool", i), i * self.age // self.size)
            for i in range(self.size)
        }

    def chosen(self, key: Key) -> str:
        """Return the name of the network that this step uses."""
        return str(int(torch.randint(self.size, (), generator=key.fold("chosen").generator())))

    def tensors(self, problem: Problem, pool: State, name: str) -> Tensors:
        """Return the tensors of a network as `embedding` and `scores` take them."""
        return self.embedding(problem).arranged(_network(pool[name]))

    def embedding(self, problem: Problem) -> Functional:
        """Return the features of a network as a function, with running statistics."""
        return _cached(problem, "pool: embedding", "embed", training=False)

    def advance(
        self, synthetic: Synthetic, problem: Problem, pool: State, name: str, key: Key
    ) -> State:
        """Return the pool with one network trained for a step on the set, or drawn anew."""
        member = pool[name]
        if member["age"] > self.age:
            return {**pool, name: self._drawn(problem, key.fold("drawn"), 0)}
        return {**pool, name: self._trained(synthetic, problem, member, key)}

    def _drawn(self, problem: Problem, key: Key, age: int) -> State:
        module = problem.network.draw(key.fold("network"), problem.compute.device)
        tensors = _training(problem).tensors(module)
        return {"network": nested(tensors), "adam": {}, "age": age}

    def _trained(self, synthetic: Synthetic, problem: Problem, member: State, key: Key) -> State:
        rows = torch.arange(len(synthetic), device=problem.compute.device)
        if len(rows) > self.batch:
            order = torch.randperm(len(rows), generator=key.fold("rows").generator())
            rows = rows[order[: self.batch].to(rows.device)]
        with torch.no_grad():
            images, labels = synthetic(rows)
        if synthetic.labels is None:
            labels = labels - 1 / problem.layout.classes
        network = _training(problem)
        found = network.arranged(_network(member))
        tensors = {name: tensor.clone() for name, tensor in found.items()}
        names = network.parameter_names
        card = EvaluationCard(
            "pool", "Adam on squared error", 1, "none", self.lr, optimiser="adam", loss="squared"
        )
        learning = Learning(tensors, names, card)
        learning.restore({names[int(i)]: kept for i, kept in member["adam"].items()})
        most = most_per_call(problem.network, problem.compute)

        def scored(part: Sequence[Batch]) -> Batch:
            ((some, truth),) = part
            return network(tensors, some), truth

        calls = in_parts([(images, labels)], scored, card, most, filled=problem.compute.compile)
        learning.update(one for *_, one in calls)
        found = learning.midway(member["age"] + 1)
        return {
            "network": nested(found.tensors),
            "adam": {str(names.index(name)): kept for name, kept in found.optimiser.items()},
            "age": found.epochs,
        }


def centred_targets(problem: Problem, index: Tensor) -> Tensor:
    """Return what a regression on the data aims at, B×K: one-hot minus 1/K, or its own values."""
    found = problem.data.target(index).to(problem.compute.device)
    return found if problem.data.targets is not None else found - 1 / problem.data.classes


def seen_labels(labels: Tensor, problem: Problem) -> Tensor:
    """Return the labels of the set, N×K, as a regression takes them: one-hot ones minus 1/K."""
    return labels if problem.learned_labels else labels - 1 / labels.shape[1]


def mirrored(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the images followed by their mirror images, and their labels twice."""
    return torch.cat([images, images.flip(-1)]), torch.cat([labels, labels])


def _network(member: State) -> dict[str, Tensor]:
    return dotted(member["network"])


def _training(problem: Problem) -> Functional:
    return _cached(problem, "pool: training", "forward", training=True)


def _cached(problem: Problem, name: str, method: str, *, training: bool) -> Functional:
    if name not in problem.cache:
        module = problem.network.draw(Key(0), problem.compute.device).train(training)
        problem.cache[name] = Functional(module, method, problem.compute)
    return problem.cache[name]
