"""What a user's own module has to do for condensing to repeat itself and to learn."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attar.errors import BadRequest
from attar.networks.drawing import Draw
from attar.networks.probe import (
    example_images,
    features_vary,
    layer,
    scores_of,
    shape_text,
    smallest_side,
)
from attar.rng import Key


@dataclass(frozen=True)
class Facts:
    """What is known of a module once it was probed.

    Args:
        mixes: in training mode images of a batch affect each other.
        vectorizes: several networks can be trained in one step.
    """

    mixes: bool
    vectorizes: bool


def check_parts(draw: Draw, parted: Draw, images: Tensor, said: str) -> Facts:
    """Check that a module does the same in parts, without chance, and passes gradients on.

    Args:
        draw: returns the whole module.
        parted: returns one with ``body``, ``head`` and ``embed``.
        images: network inputs.
        said: what messages begin with.

    Raises:
        BadRequest: it does not.
    """
    _refuse_dropout(draw(), said)
    with Key(0).fold("probe").seeding_global():
        whole = draw()
    with Key(0).fold("probe").seeding_global():
        parts = parted()

    def scores(module: nn.Module, mode: bool, images: Tensor = images, seed: int = 0) -> Tensor:
        with Key(seed).seeding_global():
            found = scores_of(copy.deepcopy(module).train(mode), images, said)
        if not isinstance(found, Tensor) or not bool(found.isfinite().all()):
            what = "NaN or Inf" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            name = "training" if mode else "evaluation"
            raise BadRequest(f"{said} gives {what} in {name} mode; return finite scores alone")
        return found

    if not _close(scores(whole, True), scores(whole, True, seed=1)):
        raise BadRequest(
            f"{said} gives other scores for the same images in training mode; take out what is "
            "random in forward(), such as dropout"
        )
    for mode in (False, True):
        if not _close(scores(whole, mode), scores(parts, mode)):
            raise BadRequest(
                f"{said} changes its scores after its last linear layer; return them as they are"
            )
    if not _close(scores(whole, False)[:2], scores(whole, False, images[:2])):
        raise BadRequest(
            f"{said}: images of a batch affect each other in evaluation mode; use running "
            "statistics there (track_running_stats=True)"
        )
    _refuse_no_gradient(copy.deepcopy(parts), images, said)
    _refuse_constant(parts, images, said)
    kinds = nn.modules.batchnorm._BatchNorm
    mixes = any(isinstance(part, kinds) for part in whole.modules())
    mixes = mixes or not _close(scores(whole, True)[:2], scores(whole, True, images[:2]))
    return Facts(mixes, not mixes and _vectorizes(parts, images))


def _refuse_dropout(module: nn.Module, said: str) -> None:
    for name, part in module.named_modules():
        kind = type(part).__name__
        named = "Drop" in kind or kind == "StochasticDepth"
        inside = isinstance(part, nn.MultiheadAttention | nn.RNNBase)
        for setting in ("p", "drop_prob", "dropout"):
            rate = getattr(part, setting, 0.0)
            if (named or inside) and isinstance(rate, float | int) and rate > 0:
                raise BadRequest(
                    f"{said}: {layer(name, part)} drops at random ({setting}={rate:g}), which no "
                    f"resumed run could repeat; set {setting}=0"
                )


def _refuse_no_gradient(module: nn.Module, images: Tensor, said: str) -> None:
    leaf = images.clone().requires_grad_()
    try:
        with torch.enable_grad():
            loss = module(leaf).square().sum()
            found = torch.autograd.grad(loss, leaf, allow_unused=True) if loss.requires_grad else ()
    except Exception as error:
        raise BadRequest(
            f"{said} cannot be differentiated for its images ({error}); use no in-place "
            "operation on them"
        ) from error
    if not found or found[0] is None:
        raise BadRequest(
            f"{said} passes no gradient on to its images; take detach() and no_grad() out of "
            "forward()"
        )


def _refuse_constant(module: nn.Module, images: Tensor, said: str) -> None:
    """Refuse a module that has the same features for all images, and name a size that helps."""
    if features_vary(module, images):
        return

    def works(side: int) -> bool:
        other = example_images(images.shape[1], (side, side))
        try:
            scores_of(copy.deepcopy(module), other, said)
        except BadRequest:
            return False
        return features_vary(module, other)

    least = smallest_side(works, min(images.shape[2:]))
    remedy = "normalise several channels together (fewer groups), or pool less"
    if least is not None:
        remedy = f"it works from {least}×{least} on: give --resize {least}, or {remedy}"
    raise BadRequest(
        f"{said} has the same features for all images of C×H×W = {shape_text(images)}, as norms of "
        f"single values leave them (GroupNorm of one channel each on maps of 1×1); {remedy}"
    )


def _vectorizes(module: nn.Module, images: Tensor) -> bool:
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    stacked = {name: torch.stack([tensor.detach()] * 2) for name, tensor in tensors.items()}

    def scores(tensors: dict[str, Tensor], images: Tensor) -> Tensor:
        return torch.func.functional_call(module, tensors, (images,))

    try:
        with torch.no_grad():
            torch.func.vmap(scores, randomness="error")(stacked, torch.stack([images] * 2))
    except Exception:
        return False
    return True


def _close(one: Tensor, other: Tensor) -> bool:
    scale = float(one.abs().max())
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4 * scale)
