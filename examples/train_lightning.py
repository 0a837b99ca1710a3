"""Train on a condensed set with Lightning, and test on real images.

uv run --with lightning python examples/train_lightning.py
"""

import lightning  # pyright: ignore[reportMissingImports]
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import attar


class Classifier(lightning.LightningModule):
    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        layers = [nn.Flatten(), nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, classes)]
        self.net = nn.Sequential(*layers)

    def training_step(self, batch, index):
        images, labels = batch
        return nn.functional.cross_entropy(self.net(images), labels)

    def test_step(self, batch, index):
        images, labels = batch
        self.log("accuracy", (self.net(images).argmax(dim=1) == labels).float().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


def main(updates: int = 300) -> float:
    digits = attar.load_source("digits")
    condensed = attar.condense("digits", method="random", ipc=10)
    assert digits.test is not None
    real = TensorDataset(condensed.transform(digits.test.images[:]), digits.test.labels)

    learner = Classifier(condensed[0][0].numel(), len(condensed.classes))
    trainer = lightning.Trainer(
        max_steps=updates,  # not epochs: one is a few updates
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
    )
    trainer.fit(learner, DataLoader(condensed, batch_size=64, shuffle=True))
    (found,) = trainer.test(learner, DataLoader(real, batch_size=256))
    return found["accuracy"]


if __name__ == "__main__":
    print(f"accuracy on real digits: {main():.1%}")
