"""Images that are there more than once are told where that matters."""

import torch

from attar.data import from_tensors
from attar.data.twins import fingerprints

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (20, 3, 5, 5), dtype=torch.uint8, generator=GENERATOR)
LABELS = torch.arange(20) % 2


def test_one_image_under_two_classes_is_told() -> None:
    twice = IMAGES.clone()
    twice[4], twice[6] = twice[3], twice[8]
    note = from_tensors(twice, LABELS, test=(IMAGES[:4] // 2, LABELS[:4])).note
    assert "1 of the images are under several classes" in note
    assert "training images, too" not in note


def test_test_images_that_are_training_images_are_told() -> None:
    for images in (IMAGES, IMAGES / 300, (IMAGES / 300).bfloat16()):
        test = torch.cat([images[:3], images[:2] / 2 if images.is_floating_point() else images[:0]])
        note = from_tensors(images, LABELS, test=(test, LABELS[: len(test)])).note
        assert "3 of the test images are training images, too" in note


def test_nothing_is_told_of_images_that_differ() -> None:
    note = from_tensors(IMAGES, LABELS, test=(IMAGES ^ 1, LABELS)).note
    assert "several classes" not in note
    assert "too" not in note
    assert len(fingerprints(IMAGES[:0])) == 0
