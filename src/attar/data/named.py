"""The data sets with a name: scikit-learn's digits and five of torchvision's."""

from __future__ import annotations

import pickle
import tarfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from attar.data.dividing import joined, refuse_share
from attar.data.pairs import parts_from_arrays
from attar.data.reading import Reading
from attar.data.splits import Parts
from attar.data.subsets import Subset
from attar.errors import BadRequest

# what downloading, unpacking and reading raise for missing or damaged files
UNREADABLE = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    KeyError,
    tarfile.TarError,
    pickle.PickleError,
)
DIGITS = tuple(map(str, range(10)))


@dataclass(frozen=True)
class Constants:
    """Per-channel constants of the DC lineage (Zhao et al., DatasetCondensation utils.py)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    frepo_std: tuple[float, ...] | None = None
    zca_strength: float = 0.1


CONSTANTS = {
    "mnist": Constants((0.1307,), (0.3081,)),
    "fashion_mnist": Constants((0.2861,), (0.3530,)),
    # RememberThePast regularises its whitening of SVHN a thousand times as much
    "svhn": Constants((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970), zca_strength=100.0),
    "cifar10": Constants(
        (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010), frepo_std=(0.2470, 0.2435, 0.2616)
    ),
    "cifar100": Constants((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)),
}


def load_digits(name: str, reading: Reading) -> Parts:
    """Read the 1,797 digits of 8×8 pixels that scikit-learn brings along.

    Their values 0…16 become round(255·v / 16).
    """
    from sklearn.datasets import load_digits as read

    found: Any = read()
    pixels = torch.from_numpy(found.images).mul(255 / 16).round().to(torch.uint8)
    return parts_from_arrays(
        pixels,
        found.target,
        None,
        DIGITS,
        name=name,
        size=reading.size,
        subset=reading.subset,
        note="values 0…16 scaled to 0…255 and rounded",
        share=reading.test_share,
        default=reading.default_share,
    )


def load_torchvision(name: str, reading: Reading) -> Parts:
    """Read one of torchvision's data sets, downloading it where it is not in the data folder."""
    refuse_share(reading.test_share, name)
    parts, size = READERS[name](name, reading.data_dir, reading.subset), reading.size
    if size is not None:
        small = parts_from_arrays(
            parts.images,
            parts.labels,
            parts.test,
            parts.class_names,
            name=name,
            size=size,
        )
        resized = f"resized to {size[0]}×{size[1]}"
        parts = replace(small, note=joined(parts.note, resized))
    constants = CONSTANTS[name]
    return replace(
        parts,
        mean=constants.mean,
        std=constants.std,
        frepo_std=constants.frepo_std,
        zca_strength=constants.zca_strength,
    )


def read_mnist(name: str, data_dir: Path, subset: Subset) -> Parts:
    """Read MNIST or Fashion-MNIST: tensors N×28×28."""
    of_class = "MNIST" if name == "mnist" else "FashionMNIST"
    train = open_dataset(of_class, data_dir, train=True)
    test = open_dataset(of_class, data_dir, train=False)
    names = DIGITS if name == "mnist" else tuple(train.classes)
    test_pair = (test.data, test.targets)
    return parts_from_arrays(train.data, train.targets, test_pair, names, name=name, subset=subset)


def read_cifar(name: str, data_dir: Path, subset: Subset) -> Parts:
    """Read CIFAR-10 or CIFAR-100: arrays N×32×32×3 and lists of labels."""
    of_class = name.upper()
    train = open_dataset(of_class, data_dir, train=True)
    test = open_dataset(of_class, data_dir, train=False)
    test_pair = (test.data, test.targets)
    return parts_from_arrays(
        train.data, train.targets, test_pair, train.classes, name=name, subset=subset
    )


def read_svhn(name: str, data_dir: Path, subset: Subset) -> Parts:
    """Read SVHN's train and test parts (not extra): arrays N×3×32×32."""
    train = open_dataset("SVHN", data_dir, split="train")
    test = open_dataset("SVHN", data_dir, split="test")
    test_pair = (test.data, test.labels)
    return parts_from_arrays(train.data, train.labels, test_pair, DIGITS, name=name, subset=subset)


READERS: dict[str, Callable[[str, Path, Subset], Parts]] = {
    "mnist": read_mnist,
    "fashion_mnist": read_mnist,
    "svhn": read_svhn,
    "cifar10": read_cifar,
    "cifar100": read_cifar,
}


def open_dataset(of_class: str, data_dir: Path, **options: Any) -> Any:
    """Return a torchvision data set, downloaded where needed.

    Raises:
        BadRequest: the files are not there and cannot be downloaded, or are damaged.
    """
    import torchvision.datasets

    try:
        with warnings.catch_warnings():
            # CIFAR's pickles are of an old NumPy, which a new one remarks on
            warnings.filterwarnings("ignore", message=r".*align should be passed.*")
            return getattr(torchvision.datasets, of_class)(data_dir, download=True, **options)
    except UNREADABLE as error:
        raise BadRequest(
            f"{of_class} is neither in {data_dir} nor could it be downloaded there ({error}). "
            "Put torchvision's files for it into that folder, name another one with --data-dir "
            "or ATTAR_DATA, or give the images as npz:FILE or folder:DIR"
        ) from error
