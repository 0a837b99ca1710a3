"""The outcome of a matching that several processes share, from what each of them found."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from attar.objectives.base import NOTHING, Match, Problem
from attar.objectives.unrolling import Slopes
from attar.parallel.peers import Peers, own


def summed(matches: Sequence[Match], problem: Problem) -> list[Match]:
    """Return the sums of matches over peers; what ``advance`` is handed stays each one's own.

    Args:
        matches: of the part of the loss that this process found.
        problem: whose peers found the others; of labels that are not learnt, no gradients travel.
    """
    if problem.peers.count == 1:
        return list(matches)
    if not problem.learned_labels:
        matches = [dataclasses.replace(match, labels=None) for match in matches]
    whole = iter(problem.peers.added([tensor for match in matches for tensor in _tensors(match)]))
    return [
        dataclasses.replace(
            match,
            loss=next(whole),
            images=None if match.images is None else next(whole),
            labels=None if match.labels is None else next(whole),
            learned={name: next(whole) for name in match.learned},
        )
        for match in matches
    ]


def once(value: Tensor, problem: Problem) -> Tensor:
    """Return what every peer found alike as the part of this one in a sum: of the first alone."""
    return value if problem.peers.number == 0 else torch.zeros_like(value)


def gathered(part: Tensor, count: int, problem: Problem) -> Tensor:
    """Return the rows that all peers found; it can be differentiated once, by every one of them.

    Args:
        part: of this one, the rows of its part of ``count`` (`attar.parallel.peers.own`).
        count: of rows of all.
        problem: whose peers found the others.
    """
    if problem.peers.count == 1:
        return part
    return _Gathered.apply(part, count, problem.peers)  # pyright: ignore[reportReturnType]


class _Gathered(torch.autograd.Function):
    """What a row is worth to the losses of all goes back to the one that found it."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, count: int, peers: Peers) -> Tensor:
        ctx.peers, ctx.mine = peers, own(peers, count)
        whole = part.new_zeros(count, *part.shape[1:])
        whole[ctx.mine.start : ctx.mine.stop] = part
        return peers.added([whole])[0]

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *slopes: Tensor
    ) -> tuple[Tensor, None, None]:
        (whole,) = ctx.peers.added([slopes[0]])
        return whole[ctx.mine.start : ctx.mine.stop], None, None


def gone_back(found: Slopes, problem: Problem, learned: Mapping[str, Tensor] = NOTHING) -> Match:
    """Return the match of a training that was gone back, whose minibatches peers may share.

    Args:
        found: the slopes for this one's images of every minibatch; the loss all found alike.
        problem: whose peers found the others.
        learned: gradients for learnt tensors, which all found alike.
    """
    beside = {name: once(slope, problem) for name, slope in learned.items()}
    match = Match(once(found.loss, problem), found.images, found.labels, beside)
    (whole,) = summed([match], problem)
    return whole


def _tensors(match: Match) -> Iterator[Tensor]:
    yield match.loss
    yield from (one for one in (match.images, match.labels) if one is not None)
    yield from match.learned.values()
