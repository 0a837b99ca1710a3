"""A decoder written out: pixels repeated, every output value a sum over its neighbourhood."""

import torch
from torch import Tensor


def convolved(image: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Return the same-sized convolution of a C×H×W image with out×C×3×3, zeros beyond it."""
    channels, height, width = image.shape
    made = torch.empty(len(kernel), height, width, dtype=torch.float64)
    for out in range(len(kernel)):
        for y in range(height):
            for x in range(width):
                total = bias[out].item()
                for channel in range(channels):
                    for i in range(3):
                        for j in range(3):
                            line, column = y + i - 1, x + j - 1
                            if 0 <= line < height and 0 <= column < width:
                                value = image[channel, line, column].item()
                                total += kernel[out, channel, i, j].item() * value
                made[out, y, x] = total
    return made


def doubled(image: Tensor) -> Tensor:
    """Return the image with every pixel repeated on both sides."""
    channels, height, width = image.shape
    made = torch.empty(channels, 2 * height, 2 * width, dtype=torch.float64)
    for y in range(2 * height):
        for x in range(2 * width):
            made[:, y, x] = image[:, y // 2, x // 2]
    return made


def decoded(
    code: Tensor,
    kernels: list[Tensor],
    biases: list[Tensor],
    shape: tuple[int, int, int],
    upsamplings: int,
) -> Tensor:
    """Return the image of one code: convolutions with a leaky rectifier before all but the first.

    Every convolution but the first comes after a doubling, where there are any.
    """
    image = code.double()
    for layer, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        if layer:
            image = torch.where(image > 0, image, 0.2 * image)
            image = doubled(image) if upsamplings else image
        image = convolved(image, kernel.double(), bias.double())
    return image[:, : shape[1], : shape[2]]
