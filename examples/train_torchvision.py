"""Train a torchvision network on a condensed set, with transforms of torchvision.

uv run python examples/train_torchvision.py
"""

import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import v2

import attar


def main(epochs: int = 2) -> float:
    digits = attar.load_source("digits")
    made = attar.condense("digits", method="random", ipc=10)
    # a transform of the items sees network inputs: moves and erasing, not colours
    move = v2.Compose([v2.RandomCrop(8, padding=1), v2.RandomErasing(p=0.25)])
    condensed = made.with_transform(move)  # or attar.load("set.safetensors", transform=move)

    net = torchvision.models.resnet18(num_classes=len(condensed.classes))
    net.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)  # digits are gray, and small
    net.maxpool = nn.MaxPool2d(1)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for _ in range(epochs):
        for images, labels in DataLoader(condensed, batch_size=50, shuffle=True):
            loss = nn.functional.cross_entropy(net(images), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    # ImageFolder("my-photos", transform=condensed.transform) does the same for own photos
    assert digits.test is not None
    with torch.no_grad():
        scores = net.eval()(condensed.transform(digits.test.images[:]))
    return (scores.argmax(dim=1) == digits.test.labels).float().mean().item()


if __name__ == "__main__":
    torch.manual_seed(0)
    print(f"accuracy on real digits: {main(epochs=20):.1%}")
