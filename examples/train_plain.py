"""Train a network on a condensed set in a plain PyTorch loop, and test it on real images.

uv run python examples/train_plain.py
"""

import torch
from torch import nn
from torch.utils.data import DataLoader

import attar


def main(updates: int = 300) -> float:
    digits = attar.load_source("digits")
    # or attar.load("set.safetensors")
    condensed = attar.condense("digits", method="random", ipc=10)

    size = condensed[0][0].numel()
    net = nn.Sequential(nn.Flatten(), nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, 10))
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    done = 0
    while done < updates:  # an epoch of a small set is a few updates: count these
        for images, labels in DataLoader(condensed, batch_size=64, shuffle=True):
            loss = nn.functional.cross_entropy(net(images), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            done += 1

    assert digits.test is not None
    real = condensed.transform(digits.test.images[:])  # what real images need before the network
    with torch.no_grad():
        right = net.eval()(real).argmax(dim=1) == digits.test.labels
    return right.float().mean().item()


if __name__ == "__main__":
    torch.manual_seed(0)
    print(f"accuracy on real digits: {main():.1%}")
