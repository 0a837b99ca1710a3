"""What the authors' codes fix by the name of a data set: classes, and constants of its pixels.

Sources: the data loaders of VICO-UoE/DatasetCondensation (utils.py), mtt-distillation and
DatasetFactorization (utils.py), Efficient-Dataset-Condensation (data.py), RememberThePast
(utils/data_utils.py), FRePo and RCIG (dataloader.py).
"""

from __future__ import annotations

from attar.data import tiny_imagenet
from attar.data.named import CONSTANTS, DIGITS

Pair = tuple[tuple[float, ...], tuple[float, ...]]

_IMAGENET = (tiny_imagenet.MEAN, tiny_imagenet.STD)
_DC: dict[str, Pair] = {
    **{name: (one.mean, one.std) for name, one in CONSTANTS.items()},
    "tiny_imagenet": _IMAGENET,
    "imagenet": _IMAGENET,
}
# trajectory matching and IDC take CIFAR-10's constants for CIFAR-100
_TRAJECTORY = {**_DC, "cifar100": _DC["cifar10"]}
# RememberThePast rounds CIFAR-100's in another way
_RTP = {**_DC, "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))}
_FREPO: dict[str, Pair] = {
    "mnist": _DC["mnist"],
    "fashion_mnist": _DC["fashion_mnist"],
    "cifar10": (_DC["cifar10"][0], CONSTANTS["cifar10"].frepo_std or _DC["cifar10"][1]),
    "cifar100": _DC["cifar100"],
    "tiny_imagenet": ((0.4759, 0.4481, 0.3926), (0.2763, 0.2687, 0.2813)),
    "imagenette": ((0.4626, 0.4588, 0.4251), (0.2790, 0.2745, 0.2973)),
    "imagewoof": ((0.4917, 0.4613, 0.3931), (0.2513, 0.2442, 0.2530)),
}
FAMILIES: dict[str, dict[str, Pair]] = {
    "dc": _DC,
    "mtt": _TRAJECTORY,
    "idc": _TRAJECTORY,
    "haba": _TRAJECTORY,
    "rtp": _RTP,
    "frepo": _FREPO,
    "kip": {},
}
# FRePo and RCIG whiten all but these
NOT_WHITENED = ("mnist", "fashion_mnist")

_CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house
kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree
plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew
skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank
telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf
woman worm
"""

CLASS_NAMES: dict[str, tuple[str, ...]] = {
    "digits": DIGITS,
    "mnist": DIGITS,
    "svhn": DIGITS,
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "cifar10": tuple(_CIFAR10.split()),
    "cifar100": tuple(_CIFAR100.split()),
}
NAMES = sorted({*CLASS_NAMES, *(name for family in FAMILIES.values() for name in family)})


def constants(family: str, data_name: str) -> Pair | None:
    """Return mean and deviation of pixels that a family of codes takes for a data set."""
    return FAMILIES[family].get(data_name)
