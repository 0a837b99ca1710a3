"""Images that a trained network knows, with its own statistics of batch normalization (SRe2L).

Source: Yin, Xing and Shen, Squeeze, Recover and Relabel, 2023; Yin and Shen, Dataset Distillation
via Curriculum Data Synthesis (CDA), 2023; and their code. What EDC adds: `attar.objectives.aims`.

Shape letters: B images of a group, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from attar.augmentation.patches import draw_boxes, take_crops
from attar.augmentation.variants import LEAST_AREA, RATIOS
from attar.data.images import LabelledImages
from attar.errors import BadRequest
from attar.networks import Network, make_for
from attar.objectives.aims import Aims, as_layers, as_tree, class_statistics, flatness
from attar.objectives.base import NOTHING, Match, Objective, Problem, State
from attar.objectives.exchanging import summed
from attar.objectives.squeezed import NORMS, Squeezed, no_norm, spread
from attar.parallel.peers import Peers, own
from attar.rng import Key
from attar.shapes import is_picture, sides
from attar.synthetic import Layout, Synthetic
from attar.teachers.finding import find_teacher, is_on_disk
from attar.teachers.study import train
from attar.teachers.teacher import Teacher, tensors_of
from attar.tensors import dotted, nested

# of the teacher that is trained here, as those that label
_RATE, _BATCH, _AUGMENT = 0.05, 128, "flip_crop"


@dataclass(frozen=True)
class _Group:
    """Images that are matched together.

    Args:
        images: B×C×H×W network inputs.
        labels: B×K probabilities, or B classes.
        earlier: the running means of the images; None where these are not asked for.
        aims: what their statistics are compared with.
        least: the least share of the area that a crop takes.
        key: of crop, mirroring and shift.
    """

    images: Tensor
    labels: Tensor
    earlier: Tensor | None
    aims: Aims
    least: float
    key: Key

    def part(self, rows: Tensor) -> _Group:
        """Return some of the images, under the same draws."""
        earlier = None if self.earlier is None else self.earlier[rows]
        found = (self.images[rows], self.labels[rows], earlier)
        return _Group(*found, self.aims, self.least, self.key)


@dataclass(frozen=True)
class StatisticsMatching(Objective):
    """Cross-entropy of a teacher, and how far its inner statistics are from those of its training.

    The loss of a group of images, the i-th of each class, is their mean cross-entropy and ``bn``
    times the sum over layers of batch normalization of ‖μ − μ̂‖ + ‖σ² − σ̂²‖: mean and variance of
    every channel of what comes into the layer, beside the running ones that the teacher kept; the
    first layer counts ``first_bn`` times. One crop, one mirroring and one shift, drawn for the
    group, come before. The loss of the set is the sum over groups.

    What EDC adds is off unless asked for: statistics that are carried on from step to step,
    statistics of classes beside those of the whole, and a divergence from what the teacher says of
    the running mean of each image, in the same crop.

    Args:
        bn: weight of the statistics.
        first_bn: of the first layer, beside the others.
        least_area: the least share of the area that a crop takes; 1 for whole images.
        ease: the share of the run over which the least area comes down from 1 to that, along a
            cosine (CDA); 0 to begin with it.
        flip: whether half of the steps mirror the images.
        roll: pixels by which they are shifted at most, round the border.
        batch: images of a group at most, of as many classes.
        squeezed: the teacher on disk, as `attar.teachers.finding.find_teacher` takes it, or the
            name of one to be trained; empty for the network of the run.
        squeeze_epochs: of training it.
        carry: what statistics hold of those of earlier steps, below 1; EDC has 0.8.
        by_class: the share of the statistics of a group's classes, found once from all real images,
            in what is matched; EDC has 0.5.
        flatness: weight of the divergence from the running mean of each image; EDC's code has 1,
            its scripts leave it out.
        running: what that mean keeps of itself at a step, below 1; EDC has 0.99.

    Raises:
        BadRequest: a setting out of range.
    """

    name: ClassVar[str] = "statistics"
    takes_unequal: ClassVar[bool] = True

    bn: float = 0.01
    first_bn: float = 10.0
    least_area: float = LEAST_AREA
    ease: float = 0.0
    flip: bool = True
    roll: int = 32
    batch: int = 100
    squeezed: str = ""
    squeeze_epochs: int = 8
    carry: float = 0.0
    by_class: float = 0.0
    flatness: float = 0.0
    running: float = 0.99

    def __post_init__(self) -> None:
        for name in ("bn", "first_bn", "flatness"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise BadRequest(f"{name} {getattr(self, name):g}: a number of 0 or more is needed")
        if not 0 < self.least_area <= 1:
            raise BadRequest(f"least_area {self.least_area:g}: above 0, to 1")
        if not 0 <= self.ease <= 1:
            raise BadRequest(f"ease {self.ease:g}: a share of the run, from 0 to 1")
        if not 0 <= self.by_class <= 1:
            raise BadRequest(f"by_class {self.by_class:g}: a share, from 0 to 1")
        for name in ("carry", "running"):
            if not 0 <= getattr(self, name) < 1:
                raise BadRequest(f"{name} {getattr(self, name):g}: a share, from 0 to below 1")
        for name, least in (("roll", 0), ("batch", 1), ("squeeze_epochs", 1)):
            if getattr(self, name) < least:
                raise BadRequest(f"{name} {getattr(self, name)}: at least {least} is needed")

    def init(self, problem: Problem, key: Key) -> State:
        """Return the seed of the teacher's training, how many steps are done, and its place.

        Of one on disk it says which it is, so that none takes its place before the run goes on.
        It is trained at the first step, and not where a run goes on from a checkpoint that has it.
        """
        found: State = {"seed": key.integer(), "step": 0}
        if is_on_disk(self.squeezed):
            teacher = self._squeezed(problem, {}).teacher
            return found | {"known": _number(teacher)} | self._earlier(problem, teacher.module())
        drawn = self._learner(problem).draw(Key(0), problem.compute.device)
        found |= {"trained": False, "network": nested(tensors_of(drawn))}
        return found | self._earlier(problem, drawn)

    def _earlier(self, problem: Problem, module: nn.Module) -> State:
        """Return room for what a step leaves to the next, of no meaning before the first."""
        found: State = {}
        layout, device = problem.layout, problem.compute.device
        if self.carry:
            norms = [part for part in module.modules() if isinstance(part, NORMS)]
            layers = [torch.zeros(2, one.num_features, device=device) for one in norms]
            groups = range(len(_groups(layout, self.batch)))
            found["carried"] = {f"group{number}": as_tree(layers) for number in groups}
        if self.flatness:
            found["running"] = torch.zeros(layout.rows, *layout.shape, device=device)
        return found

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        """Return the loss and its gradient for the images."""
        del learned
        squeezed = self._squeezed(problem, state)
        least = self.least_at(state["step"], problem.steps)
        # the running mean of an image begins with the image
        begun = state["step"] > 0
        earlier = None
        if self.flatness:
            earlier = state["running"].to(images) if begun else images.detach()
        slopes, total = torch.zeros_like(images), images.new_zeros(())
        groups = _groups(problem.layout, self.batch)
        # as they are added up over peers: zero for the groups of others
        carried = {
            name: {layer: torch.zeros_like(one) for layer, one in tree.items()}
            for name, tree in state.get("carried", {}).items()
        }
        for number in own(problem.peers, len(groups)):
            name, rows = f"group{number}", groups[number]
            before = state["carried"][name] if self.carry and begun else {}
            aims = self._aims(problem, squeezed, rows, before)
            mean = None if earlier is None else earlier[rows]
            group = _Group(images[rows], labels[rows], mean, aims, least, key.fold("group", number))
            loss, slopes[rows], moments = self._group(squeezed, group)
            total = total + loss
            if self.carry:
                left = [aims.carried(layer, spread(one)) for layer, one in enumerate(moments)]
                carried[name] = as_tree(left)
        kept: dict[str, Any] = {"carried": _added(carried, problem.peers)} if self.carry else {}
        if earlier is not None:
            kept["running"] = self.running * earlier + (1 - self.running) * images.detach()
        (whole,) = summed([Match(total, slopes, kept=kept)], problem)
        return whole

    def parts(self, problem: Problem) -> int:
        """Return the number of groups, which meet in nothing; 0 where there is one alone."""
        count = len(_groups(problem.layout, self.batch))
        return count if count > 1 else 0

    def _aims(
        self, problem: Problem, squeezed: Squeezed, rows: Tensor, before: Mapping[str, Any]
    ) -> Aims:
        """Return what the statistics of a group are compared with."""
        device = problem.compute.device
        there = [one.to(device) for one in as_layers(before)]
        if not self.by_class:
            return Aims(carry=self.carry, before=there)
        if "class statistics" not in problem.cache:
            found = class_statistics(squeezed.teacher, problem.data)
            problem.cache["class statistics"] = found
        theirs = problem.layout.class_of_row()[rows].to(device)
        classes = [one[theirs].mean(0) for one in problem.cache["class statistics"]]
        return Aims(self.by_class, classes, self.carry, there)

    def _group(self, squeezed: Squeezed, group: _Group) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return the loss of a group, its gradient, and the moments of every layer.

        Where its graph does not fit into memory, statistics are taken first without one. As their
        slopes are known then, and images meet in nothing else, parts of the group give the rest.
        """
        images, most = group.images, squeezed.most
        leaf = images.detach().requires_grad_()
        if len(images) <= most:
            scores, moments = squeezed(self._seen(leaf, group.least, group.key))
            said = self._said(squeezed, scores, group)
            loss = said + self._distance(squeezed, moments, group.aims)
            slopes = torch.autograd.grad(loss, leaf)[0]
            return loss.detach(), slopes, [one.detach() for one in moments]
        parts = list(map(group.part, torch.arange(len(images)).split(most)))
        shares = [len(one.images) / len(images) for one in parts]
        with torch.no_grad():
            each = [squeezed(self._seen(one.images, group.least, group.key))[1] for one in parts]
            moments = [
                reduce(torch.add, [share * one for share, one in zip(shares, layer, strict=True)])
                for layer in zip(*each, strict=True)
            ]
        known = [one.clone().requires_grad_() for one in moments]
        apart = self._distance(squeezed, known, group.aims)
        slopes = torch.autograd.grad(apart, known)
        total = apart.detach()
        found = []
        for one, share in zip(parts, shares, strict=True):
            leaf = one.images.detach().requires_grad_()
            scores, own = squeezed(self._seen(leaf, group.least, group.key))
            said = share * self._said(squeezed, scores, one)
            inner = sum((s * m).sum() for s, m in zip(slopes, own, strict=True))
            found.append(torch.autograd.grad(said + share * inner, leaf)[0])
            total = total + said.detach()
        return total, torch.cat(found), moments

    def _said(self, squeezed: Squeezed, scores: Tensor, group: _Group) -> Tensor:
        """Return the loss of what the teacher says of images: cross-entropy, and flatness."""
        found = functional.cross_entropy(scores, group.labels)
        if group.earlier is None:
            return found
        with torch.no_grad():
            before = squeezed(self._seen(group.earlier, group.least, group.key))[0]
        return found + self.flatness * flatness(scores, before)

    def _distance(self, squeezed: Squeezed, moments: Sequence[Tensor], aims: Aims) -> Tensor:
        """Return the weighted distance of all layers from what is aimed at."""
        apart = squeezed.distances(moments, aims)
        weights = [self.first_bn, *(1.0 for _ in apart[1:])]
        return self.bn * torch.stack([w * d for w, d in zip(weights, apart, strict=True)]).sum()

    def least_at(self, step: int, steps: int | None) -> float:
        """Return the least share of the area of a crop at a step of a run."""
        if not self.ease or steps is None:
            return self.least_area
        done = step / max(1.0, self.ease * steps)
        if done >= 1:
            return self.least_area
        return self.least_area + (1 - self.least_area) * (1 + math.cos(math.pi * done)) / 2

    def advance(
        self,
        synthetic: Synthetic,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
        kept: Mapping[str, Any] = NOTHING,
    ) -> State:
        """Return the state with one more step, and with the teacher where it was trained here."""
        del synthetic, key, learned
        found = state | {"step": state["step"] + 1} | dict(kept)
        if not state.get("trained", True):
            known = self._squeezed(problem, state).teacher.tensors
            found |= {"trained": True, "network": nested(known)}
        return found

    def teacher(self, problem: Problem, state: State) -> Teacher:
        """Return the teacher."""
        return self._squeezed(problem, state).teacher

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return the images of a step, with a backward pass."""
        del data
        return (4.0 if self.flatness else 3.0) * layout.rows

    def check(self, problem: Problem) -> None:
        """Refuse rows that are no pictures, networks without the norm, and a run without an end."""
        if not is_picture(problem.data.shape):
            raise BadRequest("the objective 'statistics' is of pictures, and these are vectors")
        if self.ease and problem.steps is None:
            raise BadRequest(
                f"ease {self.ease:g}: crops get smaller over a number of updates; give "
                "--iterations in place of --minutes, or --set ease=0"
            )
        if is_on_disk(self.squeezed):
            _ = self._squeezed(problem, {})
            return
        network = self._learner(problem)
        made = network.draw(Key(0))
        if not any(isinstance(part, NORMS) for part in made.modules()):
            raise no_norm(network.name, "--teacher" if self.squeezed else "--network")

    def _learner(self, problem: Problem) -> Network:
        if not self.squeezed:
            return problem.network
        return make_for(self.squeezed, problem.data.shape, problem.data.classes)

    def _squeezed(self, problem: Problem, state: State) -> Squeezed:
        """Return the teacher, made once in a process."""
        if "squeezed" not in problem.cache:
            problem.cache["squeezed"] = Squeezed(self._found(problem, state), problem.peers.count)
        found: Squeezed = problem.cache["squeezed"]
        if "known" in state and state["known"] != _number(found.teacher):
            raise BadRequest(
                f"--teacher {self.squeezed}: it is not the network that this run began with; put "
                "that one back, or begin anew with --overwrite"
            )
        return found

    def _found(self, problem: Problem, state: State) -> Teacher:
        data, compute = problem.data, problem.compute
        if is_on_disk(self.squeezed):
            return find_teacher(self.squeezed, data, compute)
        network = self._learner(problem)
        if state["trained"]:
            device = compute.device
            kept = {name: one.to(device) for name, one in dotted(state["network"]).items()}
            return Teacher(network, compute, kept)
        return train(
            data,
            network,
            compute,
            epochs=self.squeeze_epochs,
            lr=_RATE,
            batch=_BATCH,
            key=Key(state["seed"]).fold("squeeze"),
            augment=_AUGMENT,
            schedule="warm_cosine",
        ).teacher

    def _seen(self, images: Tensor, least: float, key: Key) -> Tensor:
        """Return a group of images, cropped, mirrored and shifted as one."""
        tall, wide = sides(tuple(images.shape[1:]))
        if least < 1:
            box = draw_boxes(1, (tall, wide), (least, 1.0), RATIOS, key.fold("crop"))
            images = take_crops(images, box, (tall, wide))
        draws = torch.rand(3, generator=key.fold("place").generator())
        if self.flip and draws[0] < 0.5:
            images = images.flip(3)
        down, right = (int(one * (self.roll + 1)) for one in draws[1:].tolist())
        return images.roll((down, right), dims=(2, 3)) if down or right else images


def _number(teacher: Teacher) -> int:
    """Return a number that tells a teacher from others, as a state keeps it."""
    return int(teacher.digest[:15], 16)


def _added(carried: Mapping[str, Mapping[str, Tensor]], peers: Peers) -> dict[str, Any]:
    """Return what is carried on of all groups, each of which one peer knows."""
    places = [(name, layer) for name, tree in carried.items() for layer in tree]
    found = peers.added([carried[name][layer] for name, layer in places])
    whole: dict[str, Any] = {name: {} for name in carried}
    for (name, layer), one in zip(places, found, strict=True):
        whole[name][layer] = one
    return whole


def _groups(layout: Layout, most: int) -> list[Tensor]:
    """Return the rows of each group: the i-th images of the classes, at most so many."""
    ranks = torch.cat([torch.arange(size) for size in layout.sizes()])
    found = []
    for rank in range(layout.per_class):
        found += list((ranks == rank).nonzero().flatten().split(most))
    return found
