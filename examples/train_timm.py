"""Train a network of timm on a condensed set.

uv run --extra timm python examples/train_timm.py
"""

import timm
import torch
from torch import nn
from torch.utils.data import DataLoader

import attar

SIDE = 32  # what the network takes


def main(epochs: int = 2) -> float:
    digits = attar.load_source("digits")
    condensed = attar.condense("digits", method="random", ipc=10)
    # timm's own mean and std stay out: the images of a set are standardised already
    net = timm.create_model("test_resnet", num_classes=len(condensed.classes), in_chans=1)
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3)
    for _ in range(epochs):
        for images, labels in DataLoader(condensed, batch_size=50, shuffle=True):
            loss = nn.functional.cross_entropy(net(enlarged(images)), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    assert digits.test is not None
    with torch.no_grad():
        scores = net.eval()(enlarged(condensed.transform(digits.test.images[:])))
    return (scores.argmax(dim=1) == digits.test.labels).float().mean().item()


def enlarged(images: torch.Tensor) -> torch.Tensor:
    return nn.functional.interpolate(images, size=SIDE)


if __name__ == "__main__":
    torch.manual_seed(0)
    print(f"accuracy on real digits: {main(epochs=40):.1%}")
