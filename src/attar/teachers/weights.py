"""Weights that others trained, as a file on disk: those of torchvision, of timm, or of a network
here, with the names that these give them. Nothing is ever downloaded, and nothing in a file run.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attar.compute import Compute
from attar.data import LabelledImages
from attar.data.preprocessing import Preprocessing
from attar.errors import BadRequest, unknown
from attar.networks import Network
from attar.networks.layers import Size
from attar.networks.names import build
from attar.networks.own import part
from attar.networks.probe import example_images, last_linear
from attar.networks.weight import without_memory
from attar.pickled.reading import read_pickled
from attar.rng import Key
from attar.shapes import is_picture, sides
from attar.teachers.file import refuse_other_normalization
from attar.teachers.teacher import Rescaling, Teacher, tensors_of

ENDINGS = (".pth", ".pt", ".bin", ".safetensors")
# under which a training keeps the weights among other things
_INSIDE = ("model", "state_dict", "model_state_dict", "net", "ema")
# of one that needs other pixels than the set's
_STAYS = " (a set does not carry such a teacher: where it would, give --teacher-storage none, too)"
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_SPEC = re.compile(
    rf"(?P<arch>[^/\\]+?):(?P<file>[^:,]+({'|'.join(map(re.escape, ENDINGS))}))"
    r"(,norm=(?P<norm>.*))?"
)
Make = Callable[[], nn.Module]
Constants = tuple[tuple[float, ...], tuple[float, ...]]
State = Mapping[str, Tensor]


def is_weights(spec: str) -> bool:
    """Whether a text names an architecture and a file of its weights."""
    return _SPEC.fullmatch(spec) is not None


def check_file(spec: str, said: str) -> None:
    """Refuse a text whose file of weights is not there.

    Args:
        spec: as `read_weights` takes it.
        said: how messages call it.

    Raises:
        BadRequest: it is not.
    """
    found = _SPEC.fullmatch(spec)
    assert found is not None
    _check_there(Path(found["file"]).expanduser(), said)


def read_weights(spec: str, data: LabelledImages, compute: Compute, said: str) -> Teacher:
    """Return the network that a text such as ``resnet18:weights.pth`` names, for these data.

    Args:
        spec: ``ARCH:FILE``, where ARCH is a network of torchvision, ``timm:NAME``, or one of
            Attar's; with ``,norm=imagenet`` behind it where pixels are to be brought to ImageNet's
            mean and deviation for it, or ``,norm=data`` where it was trained on these data's.
        data: whose classes it must know.
        compute: device, precision and compilation.
        said: how messages call it.

    Raises:
        BadRequest: there is no such file or architecture, the weights are of another one, of other
            classes or channels, or it is not said how pixels were normalized for it.
    """
    found = _SPEC.fullmatch(spec)
    assert found is not None
    arch, path, norm = found["arch"], Path(found["file"]).expanduser(), found["norm"]
    if not is_picture(data.shape):
        raise BadRequest(f"{said}: weights are of networks of pictures, and these are vectors")
    published, makers = _architectures(arch, data, said)
    rescaling = _rescaling(published, norm, data.preprocessing, said)
    state = _state(path, said)
    make, module = _fitting(makers, state, path, data.classes, said)
    origin = f"{arch}:{path.name}"
    if hasattr(module, "embed"):
        # of Attar's own, which have a name
        network = build(arch, data.shape[0], sides(data.shape), data.classes)
        tensors = tensors_of(module.eval().to(compute.device))
        return Teacher(network, compute, tensors, rescaling, origin)
    images = example_images(data.shape[0], sides(data.shape))
    head = last_linear(module.eval(), images, data.classes, said)
    tensors = tensors_of(part(module, head).eval().to(compute.device))

    def factory(channels: int, size: Size, classes: int) -> nn.Module:
        return part(make(), head)

    network = Network(arch, factory, data.shape[0], sides(data.shape), data.classes)
    return Teacher(network, compute, tensors, rescaling, origin)


def _architectures(
    arch: str, data: LabelledImages, said: str
) -> tuple[Constants | None, list[Make]]:
    """Return the published normalization, None for none, and what makes such modules."""
    channels, size, classes = data.shape[0], sides(data.shape), data.classes
    import torchvision

    head, _, name = arch.partition(":")
    if head == "timm":
        return _timm(name, channels, classes, said)
    makers: list[Make] = []
    published = None
    plain = arch.removeprefix("torchvision:")
    # those for other tasks classify nothing, and fetch the weights of their backbones by themselves
    known = torchvision.models.list_models(module=torchvision.models)
    if plain in known:
        published = _IMAGENET
        makers += [lambda: _quiet(plain, classes), lambda: _small_stem(_quiet(plain, classes))]
    if plain == arch:
        try:
            own = build(arch, channels, size, classes)
            makers.append(lambda: own.factory(channels, size, classes))
        except BadRequest:
            if not makers:
                raise unknown(f"architecture ({said})", arch, known) from None
    if not makers:
        raise unknown(f"architecture ({said})", plain, known)
    return published, makers


def _timm(name: str, channels: int, classes: int, said: str) -> tuple[Constants, list[Make]]:
    try:
        import timm
    except ImportError as error:
        raise BadRequest(f"{said} needs timm: pip install 'attar[timm]'") from error
    if not timm.is_model(name):
        raise unknown(f"architecture of timm ({said})", name, timm.list_models())
    told = timm.get_pretrained_cfg(name)
    mean, std = _IMAGENET if told is None else (tuple(told.mean), tuple(told.std))

    def make() -> nn.Module:
        return timm.create_model(name, pretrained=False, in_chans=channels, num_classes=classes)

    return (mean, std), [make]


def _quiet(name: str, classes: int) -> nn.Module:
    import torchvision

    with warnings.catch_warnings():
        # about initialisations of old versions, which are replaced
        warnings.simplefilter("ignore")
        return torchvision.models.get_model(name, weights=None, num_classes=classes)


def _small_stem(module: nn.Module) -> nn.Module:
    """Return a residual network with a 3×3 stem and no pooling, as is published for CIFAR."""
    stem = getattr(module, "conv1", None)
    if isinstance(stem, nn.Conv2d) and hasattr(module, "maxpool"):
        module.conv1 = nn.Conv2d(stem.in_channels, stem.out_channels, 3, padding=1, bias=False)
        module.maxpool = nn.Identity()
    return module


def _rescaling(
    published: Constants | None, norm: str | None, data: Preprocessing, said: str
) -> Rescaling | None:
    """Return what brings network inputs to those of the weights; None where they are these."""
    if norm not in (None, "imagenet", "data"):
        raise BadRequest(f"{said}: norm={norm}: 'imagenet' or 'data'")
    if norm == "data":
        return None
    ours = (tuple(data.mean), tuple(data.std))
    theirs = _IMAGENET if norm == "imagenet" else published
    if theirs is None:
        raise BadRequest(
            f"{said}: a file of weights does not say how pixels were normalized for it; add "
            f",norm=data where it was trained on pixels as these are, or ,norm=imagenet{_STAYS}"
        )
    if theirs == ours and data.whitening is None:
        return None
    if norm is None:
        try:
            refuse_other_normalization(*theirs, data, said)
        except BadRequest as error:
            raise BadRequest(
                f"{error.text}; or add ,norm=imagenet to have images brought to that for it"
                f"{_STAYS}, or ,norm=data where it was trained on pixels as these are"
            ) from None
    if data.whitening is not None or len(theirs[0]) != len(ours[0]):
        why = "whitened" if data.whitening is not None else f"of {len(ours[0])} channels"
        raise BadRequest(f"{said}: these images are {why}, and cannot be brought to ImageNet's")
    pairs = list(zip(data.mean, data.std, *theirs, strict=True))
    scale = tuple(std / other for _, std, _, other in pairs)
    shift = tuple((mean - centre) / other for mean, _, centre, other in pairs)
    return Rescaling(scale, shift)


def _check_there(path: Path, said: str) -> None:
    if not path.is_file():
        raise BadRequest(
            f"{said}: there is no file {path}; weights are never downloaded: put the file there"
        )


def _state(path: Path, said: str) -> State:
    """Return the weights in a file, by name."""
    _check_there(path, said)
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            found: Any = load_file(path)
        except (SafetensorError, OSError) as error:
            raise BadRequest(f"{said}: {path} cannot be read ({error}); fetch it again") from error
    else:
        try:
            found = read_pickled(path, "torch.save(network.state_dict(), 'weights.pth')")
        except BadRequest as error:
            raise BadRequest(f"{said}: {error.text}") from error
    while isinstance(found, Mapping):
        tensors = {str(n): one for n, one in found.items() if isinstance(one, Tensor)}
        inside = [found[n] for n in _INSIDE if isinstance(found.get(n), Mapping)]
        if tensors and not inside:
            return {n.removeprefix("module."): one for n, one in tensors.items()}
        if not inside:
            break
        found = inside[0]
    raise BadRequest(f"{said}: {path} holds no weights by name; save a state_dict() alone")


def _fitting(
    makers: list[Make], state: State, path: Path, classes: int, said: str
) -> tuple[Make, nn.Module]:
    """Return what makes the first module that the weights fit, and one with them.

    Raises:
        BadRequest: they fit none; says what differs from the nearest.
    """
    shapes = {name: tuple(one.shape) for name, one in state.items()}
    misfits = []
    for make in makers:
        wanted = {n: tuple(one.shape) for n, one in without_memory(make).state_dict().items()}
        wanted_here = {n: s for n, s in wanted.items() if not n.endswith("num_batches_tracked")}
        odd = [n for n in {**wanted_here, **shapes} if not _same(n, wanted, shapes)]
        if not odd:
            with Key(0).fold("weights").seeding_global():
                module = make()
            module.load_state_dict(dict(state), strict=False)
            for tensor in (*module.parameters(), *module.buffers()):
                if not bool(torch.isfinite(tensor).all()):
                    raise BadRequest(f"{said}: {path} holds values that are no numbers")
            return make, module.float()
        misfits.append((len(odd), odd, wanted))
    _, odd, wanted = min(misfits, key=lambda one: one[0])
    if other := _classes(odd, wanted, shapes, classes):
        raise BadRequest(
            f"{said}: this teacher tells {other} classes apart, and the data have {classes}; give "
            "one of these classes in their order, or leave it out to have one trained"
        )
    raise BadRequest(
        f"{said}: {path.name} does not hold the weights of this architecture: "
        f"{odd[0]!r} is {shapes.get(odd[0], 'missing')} there, and "
        f"{wanted.get(odd[0], 'not a part of it')} here ({len(odd)} differ)"
    )


def _same(name: str, wanted: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    # older versions did not count batches
    return name.endswith("num_batches_tracked") or wanted.get(name) == there.get(name)


def _classes(
    odd: list[str], wanted: Mapping[str, Any], there: Mapping[str, Any], classes: int
) -> int | None:
    """Return the classes of a file that differs in its last layer alone; None for another."""
    found: Iterator[tuple[Any, Any]] = ((wanted.get(n), there.get(n)) for n in odd)
    counts = set()
    for ours, theirs in found:
        if not (ours and theirs and ours[0] == classes and ours[1:] == theirs[1:]):
            return None
        counts.add(theirs[0])
    return counts.pop() if len(counts) == 1 else None
