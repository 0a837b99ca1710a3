"""The names that the papers' code gives to networks, in our words.

Source: the lists of networks published with DC, DSA and DM (Zhao et al.) and with trajectory
matching (Cazenavette et al. 2022).
"""

from __future__ import annotations

import re

from attar.data.modality import modality_of
from attar.shapes import Shape, least_side

_NORMS = {"NN": "none", "BN": "batch", "LN": "layer", "IN": "instance", "GN": "group"}
_SUFFIXES = {
    "ASwish": "activation=swish",
    "AS": "activation=sigmoid",
    "AR": "activation=relu",
    "AL": "activation=leakyrelu",
    **{suffix: f"norm={norm}" for suffix, norm in _NORMS.items()},
    "NP": "pooling=none",
    "MP": "pooling=max",
    "AP": "pooling=average",
}
_SUFFIX = re.compile(rf"([DW])(\d+)|({'|'.join(_SUFFIXES)})")
_OTHERS = {
    "ConvNetKIP": "convnet3:width=1024,norm=none",
    "MLP": "mlp",
    "LeNet": "lenet",
    "AlexNet": "alexnet",
    "AlexNetBN": "alexnet:norm=batch",
    "VGG11": "vgg11",
    "VGG11BN": "vgg11:norm=batch",
    "ResNet10": "resnet10",
    "ResNet10BN": "resnet10:norm=batch",
    "ResNet18": "resnet18",
    "ResNet18BN": "resnet18:norm=batch",
    "ResNet18_AP": "resnet18:pooling=average",
    "ResNet18BN_AP": "resnet18:norm=batch,pooling=average",
    "DenseNet121": "densenet121",
    "EfficientNetV2-S": "efficientnetv2s",
}


def in_our_words(name: str) -> str:
    """Return the name that a paper's name stands for; any other name as it is.

    Example:
        >>> in_our_words("ConvNetD4BN"), in_our_words("ResNet18_AP")
        ('convnet4:norm=batch', 'resnet18:pooling=average')
    """
    if name in _OTHERS:
        return _OTHERS[name]
    rest = name.removeprefix("ConvNet")
    if rest == name or not re.fullmatch(f"({_SUFFIX.pattern})*", rest):
        return name
    depth, options = "3", []
    for letter, number, suffix in _SUFFIX.findall(rest):
        if letter == "D":
            depth = number
        else:
            options.append(f"width={number}" if letter else _SUFFIXES[suffix])
    return f"convnet{depth}" + (f":{','.join(options)}" if options else "")


def published_network(shape: Shape) -> str:
    """Return the ConvNet of the papers for images C×H×W: deeper for 128 pixels and above.

    Rows that are no pictures have the network of their kind (`attar.data.modality`).
    """
    own = modality_of(shape).network
    if own:
        return own
    smallest = least_side(shape)
    wanted = 3 if smallest < 128 else 5 if smallest < 256 else 6
    deepest = (smallest + (4 if shape[0] == 1 else 0)).bit_length() - 1
    return f"convnet{max(1, min(wanted, deepest))}"
