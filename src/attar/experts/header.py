"""What all experts of a store have in common, as the JSON file beside them."""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from attar.artefact.artefact import preprocessing_tensors
from attar.data.preprocessing import Preprocessing
from attar.errors import ArtefactError
from attar.files import write_text
from attar.networks import Network
from attar.rng import Key
from attar.tensors import feed
from attar.text import text_digest

FORMAT = "attar.experts"
FORMAT_VERSION = 2
# headers have a checksum of their own from this version on
_FIRST_CHECKED = 2
NAME = "experts.json"


class Inputs(BaseModel):
    """How pixels become network inputs.

    Args:
        mean: per-channel mean of pixels in [0, 1].
        std: per-channel standard deviation.
        zca: the form of whitening, or ``none``.
        whitening: a digest of its matrices; empty for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: tuple[float, ...]
    std: tuple[float, ...]
    zca: str = "none"
    whitening: str = ""


def inputs_of(preprocessing: Preprocessing) -> Inputs:
    """Return how pixels become network inputs by ``preprocessing``."""
    digest = hashlib.blake2b(digest_size=16)
    tensors = preprocessing_tensors(preprocessing)
    feed(digest, *tensors.values())
    return Inputs(
        mean=preprocessing.mean,
        std=preprocessing.std,
        zca=getattr(preprocessing.whitening, "kind", "none"),
        whitening=digest.hexdigest() if tensors else "",
    )


class Header(BaseModel):
    """Everything that the experts of a store depend on, but for their number.

    Args:
        network: its name.
        shapes: of its parameters, by name, in the order of their values in a snapshot.
        epochs: of training; a trajectory has one snapshot more.
        storage: the type that snapshots are stored in.
        inputs: how pixels become network inputs.
        training: the settings of training, and how the data were read.
        data: a digest of images and labels.
        seed: expert i is drawn and trained from it and i.
        provenance: source, versions, and the command that makes the store again.
        checksum: of all the others, as it is written; none in version 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["attar.experts"] = FORMAT
    version: int = Field(default=FORMAT_VERSION, ge=1, le=FORMAT_VERSION, strict=True)
    network: str
    shapes: dict[str, tuple[int, ...]]
    epochs: int = Field(ge=1)
    storage: Literal["float32", "float16", "bfloat16"] = "float32"
    inputs: Inputs
    training: dict[str, Any] = Field(default_factory=dict)
    data: str
    seed: int = 0
    provenance: dict[str, Any] = Field(default_factory=dict)
    checksum: str | None = None

    @property
    def digest(self) -> str:
        """A digest of all that bears on the snapshots."""
        bearing = self.model_dump(mode="json", exclude={"provenance", "checksum"})
        # the order of the parameters counts
        bearing["shapes"] = list(bearing["shapes"].items())
        return text_digest(json.dumps(bearing, sort_keys=True), 16)

    @property
    def values(self) -> int:
        """P, the number of parameters: the values of a snapshot."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def save(self, folder: Path) -> None:
        """Write the file, atomically."""
        told = self._checksum() if self.version >= _FIRST_CHECKED else None
        own = self.model_copy(update={"checksum": told})
        text = own.model_dump_json(indent=2, exclude=None if told else {"checksum"})
        write_text(folder / NAME, text + "\n")

    def is_whole(self) -> bool:
        """Tell whether the header is as it was written; True for version 1, which cannot tell."""
        return self.version < _FIRST_CHECKED or self.checksum == self._checksum()

    def _checksum(self) -> str:
        text = json.dumps(self.model_dump(mode="json", exclude={"checksum"}), sort_keys=True)
        return f"{zlib.crc32(text.encode()):08x}"


def shapes_of(network: Network) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a network's parameters, by name and in order."""
    module = network.draw(Key(0))
    return {name: tuple(tensor.shape) for name, tensor in module.named_parameters()}


def read_header(folder: Path, option: str = "--experts") -> Header:
    """Return the header of a store, which messages call as this option does.

    Raises:
        ArtefactError: there is none, or it is damaged.
    """
    path = folder / NAME
    try:
        header = Header.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise ArtefactError(
            f"{option} {folder}: no expert trajectories are there ({NAME} is missing); make them "
            "with 'attar experts'"
        ) from None
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        what = error.errors()[0]
        place = ".".join(map(str, what["loc"])) or "it"
        raise ArtefactError(
            f"{path} describes no expert trajectories of this version ({place}: {what['msg']})"
        ) from None
    if not header.is_whole():
        raise ArtefactError(
            f"{path} is damaged (its checksum); put back a copy, or train others with --overwrite"
        )
    return header
