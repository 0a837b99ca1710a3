"""Kernels of infinitely wide networks from the recursions as they are printed, number by number.

Source: Jacot et al. 2018 and Arora et al. 2019 for the tangent kernel, Cho and Saul 2009 for ReLU.
Everything is a dictionary from a pair of positions to a number, one pair of images at a time.
"""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

WEIGHT, BIAS = 2.0, 0.01
# positions of a pair, and for each of (x, x), (x, y), (y, y) the covariance and the kernel
Place = tuple[int, int]


def kernels(x: np.ndarray, y: np.ndarray, layers: Sequence[Any]) -> tuple[float, float]:
    """Return the covariance and the tangent kernel of the one score.

    Args:
        x: an image, C×H×W.
        y: another one.
        layers: ``("conv", kernel, padding)``, ``"relu"``, ``"pool"``, ``"mean"``, ``"flatten"`` or
            ``"linear"``.
    """
    size = x.shape[1:]
    states = []
    for one, other in ((x, x), (x, y), (y, y)):
        places = list(product(range(size[0]), range(size[1])))
        covariance = {
            (p, q): float(np.dot(one[:, p[0], p[1]], other[:, q[0], q[1]])) / len(x)
            for p in places
            for q in places
        }
        states.append((covariance, dict.fromkeys(covariance, 0.0)))
    if layers[0] == "flatten":
        states = [_flattened(*one, size) for one in states]
        size, layers = (1, 1), layers[1:]
    for layer in layers:
        if layer == "relu":
            variances = states[0][0], states[2][0]
            pairs = ((0, 0), (0, 1), (1, 1))
            states = [
                _relu(*state, variances[i], variances[j])
                for state, (i, j) in zip(states, pairs, strict=True)
            ]
            continue
        change = {"pool": _pooled, "mean": _averaged, "flatten": _flattened}.get(layer, _linear)
        more = () if change is not _linear else (1, 0) if layer == "linear" else layer[1:]
        states = [change(*state, size, *more) for state in states]
        places = {p for p, _ in states[0][0]}
        size = max(p[0] for p in places) + 1, max(p[1] for p in places) + 1
    ((covariance, kernel),) = [states[1]]
    origin = ((0, 0), (0, 0))
    return covariance[origin], kernel[origin]


def _relu(covariance, kernel, first, second):
    found, tangent = {}, {}
    for (p, q), value in covariance.items():
        a, b = math.sqrt(first[p, p]), math.sqrt(second[q, q])
        cosine = max(-1.0, min(1.0, value / (a * b)))
        angle = math.acos(cosine)
        found[p, q] = a * b * (math.sin(angle) + (math.pi - angle) * cosine) / (2 * math.pi)
        tangent[p, q] = kernel[p, q] * (math.pi - angle) / (2 * math.pi)
    return found, tangent


def _linear(covariance, kernel, size, width, padding):
    found, tangent = {}, {}
    shifts = range(-padding, width - padding)
    sides = [range(side + 2 * padding - width + 1) for side in size]
    places = list(product(*sides))
    for p, q in product(places, places):
        total = other = 0.0
        for dy, dx in product(shifts, shifts):
            pair = (p[0] + dy, p[1] + dx), (q[0] + dy, q[1] + dx)
            total += covariance.get(pair, 0.0)
            other += kernel.get(pair, 0.0)
        found[p, q] = WEIGHT * total / width**2 + BIAS
        tangent[p, q] = found[p, q] + WEIGHT * other / width**2
    return found, tangent


def _pooled(covariance, kernel, size):
    places = list(product(range(size[0] // 2), range(size[1] // 2)))
    window = list(product((0, 1), (0, 1)))

    def averaged(values):
        return {
            (p, q): sum(
                values[(2 * p[0] + a, 2 * p[1] + b), (2 * q[0] + c, 2 * q[1] + d)]
                for (a, b), (c, d) in product(window, window)
            )
            / 16
            for p, q in product(places, places)
        }

    return averaged(covariance), averaged(kernel)


def _averaged(covariance, kernel, size):
    count = (size[0] * size[1]) ** 2
    origin = ((0, 0), (0, 0))
    return {origin: sum(covariance.values()) / count}, {origin: sum(kernel.values()) / count}


def _flattened(covariance, kernel, size):
    places = list(product(range(size[0]), range(size[1])))
    origin = ((0, 0), (0, 0))
    return tuple(
        {origin: sum(values[p, p] for p in places) / len(places)} for values in (covariance, kernel)
    )
