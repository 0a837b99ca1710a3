"""Multisize condensation, written step by step from the paper's algorithm and its authors' code."""

from collections.abc import Sequence

from torch import Tensor


def distance(real: Sequence[Tensor], synthetic: Sequence[Tensor], size: int) -> float:
    """Return the feature distance of one subset, averaged over classes.

    Args:
        real: features of real images, one tensor a class.
        synthetic: features of all synthetic images, one tensor a class.
        size: images per class of the subset.
    """
    total = 0.0
    for theirs, ours in zip(real, synthetic, strict=True):
        for j in range(theirs.shape[1]):
            wanted = sum(float(row[j]) for row in theirs) / len(theirs)
            found = sum(float(ours[i, j]) for i in range(size)) / size
            total += (wanted - found) ** 2
    return total / len(real)


class Bookkeeping:
    """Which subset is matched and which images are held, over a sequence of checks.

    Every size has a flag that it is matched, one that it is kept frozen, and the number of the
    check at which its turn ends.
    """

    def __init__(self, sizes: int) -> None:
        self.sizes = list(range(1, sizes))
        self.matched = dict.fromkeys(self.sizes, False)
        self.kept = dict.fromkeys(self.sizes, False)
        self.ends: dict[int, int] = {}
        self.previous: list[float] = []
        self.number = 0

    def check(self, distances: Sequence[float]) -> tuple[int, int]:
        """Return the size that is matched from now on, and how many images are held."""
        self.number += 1
        if not self.previous:
            chosen = self.sizes[0]
        else:
            moved = [abs(a - b) for a, b in zip(self.previous, distances, strict=True)]
            order = sorted(range(len(moved)), key=lambda i: moved[i], reverse=True)
            chosen = self.sizes[order[0]]
        for size in self.sizes:
            self.matched[size] = size == chosen
        # a size that is chosen again gets a new end before the old one is reached
        self.ends[chosen] = self.number + 1
        for size, end in self.ends.items():
            if end == self.number:
                self.kept[size] = True
        self.previous = list(distances)
        smaller = [size for size in self.sizes if self.kept[size] and size < chosen]
        return chosen, max(smaller, default=0)
