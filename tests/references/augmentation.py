"""The operations of differentiable siamese augmentation at given draws (FACTS 1.3).

Everything but the colours moves pixels, so it is a matrix from input to output pixels that is
written entry by entry.
"""

import math

import torch
from torch import Tensor


def apply(name: str, images: Tensor, draws: Tensor) -> Tensor:
    """Return the images (B×C×H×W float64) after one operation.

    Args:
        name: of the operation.
        images: the batch.
        draws: R×3 numbers in [0, 1); row 0 for all images where R is 1, else one row each.
    """
    rows = draws.double().tolist()
    rows = rows * len(images) if len(rows) == 1 else rows
    one = color if name == "color" else moved
    return torch.stack([one(image, row, name) for image, row in zip(images, rows, strict=True)])


def color(image: Tensor, row: list[float], name: str) -> Tensor:
    """Brightness, then saturation, then contrast of one image."""
    brightness, saturation, contrast = row
    image = image + (brightness - 0.5) * 1.0
    gray = sum(image[c] for c in range(len(image))) / len(image)
    image = torch.stack([(plane - gray) * (2.0 * saturation) + gray for plane in image])
    level = image.sum() / image.numel()
    return (image - level) * (contrast + 0.5) + level


def moved(image: Tensor, row: list[float], name: str) -> Tensor:
    """Every other operation, on one image."""
    channels, height, width = image.shape
    matrix = matrices[name](height, width, row)
    return (image.reshape(channels, -1) @ matrix.T).reshape(image.shape)


def flip(height: int, width: int, row: list[float]) -> Tensor:
    mirrored = row[0] < 0.5
    return taking(height, width, lambda y, x: (y, width - 1 - x if mirrored else x))


def crop(height: int, width: int, row: list[float]) -> Tensor:
    """A shift of up to an eighth of the side, in whole pixels, uniform."""
    pad_y, pad_x = int(0.125 * height + 0.5), int(0.125 * width + 0.5)
    down = int(row[0] * (2 * pad_y + 1)) - pad_y
    right = int(row[1] * (2 * pad_x + 1)) - pad_x
    return taking(height, width, lambda y, x: (y + down, x + right))


def cutout(height: int, width: int, row: list[float]) -> Tensor:
    """A square of half the side around a centre that may be anywhere."""
    inside = []
    for draw, size in zip(row, (height, width), strict=False):
        edge = int(size * 0.5 + 0.5)
        centre = int(draw * (size + (1 - edge % 2)))
        inside.append(range(centre - edge // 2, centre - edge // 2 + edge))
    outside = (-1, -1)
    return taking(
        height, width, lambda y, x: outside if y in inside[0] and x in inside[1] else (y, x)
    )


def scale(height: int, width: int, row: list[float]) -> Tensor:
    low, high = 1 / 1.2, 1.2
    sx, sy = (low + draw * (high - low) for draw in row[:2])
    return sampling(height, width, ((sx, 0, 0), (0, sy, 0)))


def rotate(height: int, width: int, row: list[float]) -> Tensor:
    angle = (2 * row[0] - 1) * 15 * math.pi / 180
    cosine, sine = math.cos(angle), math.sin(angle)
    return sampling(height, width, ((cosine, -sine, 0), (sine, cosine, 0)))


matrices = {"flip": flip, "crop": crop, "cutout": cutout, "scale": scale, "rotate": rotate}


def taking(height: int, width: int, source) -> Tensor:
    """Return the matrix under which every pixel takes the one at ``source(y, x)``, else zero."""
    matrix = torch.zeros(height * width, height * width, dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            from_y, from_x = source(y, x)
            if 0 <= from_y < height and 0 <= from_x < width:
                matrix[y * width + x, from_y * width + from_x] = 1
    return matrix


def sampling(height: int, width: int, theta) -> Tensor:
    """Return the matrix of bilinear sampling at ``theta`` · (x, y, 1).

    −1 and 1 are the centres of the outermost pixels; beyond them everything is zero.
    """
    matrix = torch.zeros(height * width, height * width, dtype=torch.float64)
    for i in range(height):
        for j in range(width):
            x, y = 2 * j / (width - 1) - 1, 2 * i / (height - 1) - 1
            from_x = theta[0][0] * x + theta[0][1] * y + theta[0][2]
            from_y = theta[1][0] * x + theta[1][1] * y + theta[1][2]
            column, line = (from_x + 1) / 2 * (width - 1), (from_y + 1) / 2 * (height - 1)
            for y0 in (math.floor(line), math.floor(line) + 1):
                for x0 in (math.floor(column), math.floor(column) + 1):
                    if 0 <= y0 < height and 0 <= x0 < width:
                        weight = (1 - abs(line - y0)) * (1 - abs(column - x0))
                        matrix[i * width + j, y0 * width + x0] += weight
    return matrix
