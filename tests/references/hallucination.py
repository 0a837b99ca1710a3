"""A hallucinator of HaBa written out value by value (Liu et al. 2022, section 3.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor


def hallucinated(base: Tensor, parts: Sequence[Tensor]) -> Tensor:
    """Return the C×H×W image that a hallucinator makes of one c×H×W base, in float64.

    Args:
        base: the base.
        parts: encoder C×c×k×k with C biases, scale and shift C×H'×W', and decoder C×C×k×k
            (inputs first) with C biases.
    """
    encoder, bias, scale, shift, decoder, last = (one.double() for one in parts)
    made, _, side, _ = encoder.shape
    _, height, width = base.shape
    inner = (height - side + 1, width - side + 1)
    hidden = torch.stack(
        [
            torch.stack(
                [
                    (encoder[out] * base.double()[:, y : y + side, x : x + side]).sum() + bias[out]
                    for y in range(inner[0])
                    for x in range(inner[1])
                ]
            ).reshape(inner)
            for out in range(made)
        ]
    )
    hidden = scale * hidden + shift
    image = last.view(-1, 1, 1).expand(made, height, width).clone()
    for y in range(inner[0]):
        for x in range(inner[1]):
            patch = torch.einsum("i,iokl->okl", hidden[:, y, x], decoder)
            around = torch.zeros(made, height, width, dtype=torch.float64)
            around[:, y : y + side, x : x + side] = 1
            image = image + torch.zeros_like(image).masked_scatter(around.bool(), patch)
    return image
