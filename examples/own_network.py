"""A network of your own by name: condense in it, evaluate on it, name it in suites.

uv run python examples/own_network.py
"""

import torch
from torch import nn

import attar
from attar.networks import Family


class Normed(nn.Module):
    """Two hidden layers, each normalised over its values."""

    def __init__(self, channels: int, size: tuple[int, int], classes: int, width: int = 64) -> None:
        super().__init__()
        layers = [nn.Flatten(), nn.Linear(channels * size[0] * size[1], width)]
        layers += [nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width), nn.LayerNorm(width)]
        self.body = nn.Sequential(*layers, nn.ReLU())
        self.head = nn.Linear(width, classes)

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Return B×width features, which distribution matching compares."""
        return self.body(images)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return B×K scores."""
        return self.head(self.embed(images))


attar.register(Family("normed", "Two hidden layers with LayerNorm", Normed, {"width": ("64",)}))

if __name__ == "__main__":
    made = attar.condense("digits", method="dm", network="normed:width=32", iterations=50)
    for row in attar.evaluate(made, networks=["normed", "convnet3"], repeats=1, epochs=100):
        for result in row.results:
            print(f"{result.network}: {result.mean:.1f} %")
