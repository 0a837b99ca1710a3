"""The sources there are, one line each; what reads them lies where ``home`` says.

Free of torch, so that listings appear at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attar.lazy import named

if TYPE_CHECKING:
    from attar.data.reading import Reading
    from attar.data.splits import Parts


@dataclass(frozen=True)
class Source:
    """One kind of source.

    Args:
        name: as before the colon.
        description: one line for listings.
        home: of the function from a text and a `Reading` to `Parts`, as ``module.function`` in
            this package; imported when it is first asked for. The text is what follows the colon,
            or the source's own name where nothing may.
        argument: what must follow the colon (``DIR``, ``FILE``); empty where nothing may.
        columns: those of ``path``, ``label`` and ``split`` that can be named.
        by_index: whether its images can be read as they are needed, and not into memory.
    """

    name: str
    description: str
    home: str
    argument: str = ""
    columns: tuple[str, ...] = ()
    by_index: bool = False

    def load(self, argument: str, reading: Reading) -> Parts:
        """Read what follows the colon."""
        return named("attar.data", self.home)(argument or self.name, reading)


_TORCHVISION = "named.load_torchvision"

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            "digits",
            "1,797 digits of 8×8 pixels that scikit-learn brings along; a fixed 20 % is the "
            "test part",
            "named.load_digits",
        ),
        Source("mnist", "70,000 handwritten digits, 28×28 grayscale", _TORCHVISION),
        Source("fashion_mnist", "70,000 pieces of clothing, 28×28 grayscale", _TORCHVISION),
        Source("svhn", "99,289 house-number digits, 32×32 colour (no extra part)", _TORCHVISION),
        Source("cifar10", "60,000 photographs of 10 classes, 32×32 colour", _TORCHVISION),
        Source("cifar100", "60,000 photographs of 100 classes, 32×32 colour", _TORCHVISION),
        Source(
            "tiny_imagenet",
            "110,000 photographs of 200 classes, 64×64 colour; tiny-imagenet-200 in the data "
            "folder",
            "tiny_imagenet.load_named",
            by_index=True,
        ),
        Source(
            "folder",
            "your images: one subfolder per class, or these below train and test (or val)",
            "folders.load_folder",
            "DIR",
            by_index=True,
        ),
        Source(
            "csv",
            "your images: a table with the columns path, label and optionally split",
            "tables.load_csv",
            "FILE",
            ("path", "label", "split"),
            by_index=True,
        ),
        Source(
            "npz",
            "your arrays: x_train, y_train, x_test, y_test or images, labels; class_names optional",
            "npz.load_npz",
            "FILE",
        ),
        Source(
            "npy",
            "your arrays, each in a .npy file: a folder of images.npy, labels.npy, or the files "
            "themselves; they may be larger than the memory",
            "npy.load_npy",
            "DIR",
            by_index=True,
        ),
        Source(
            "hf",
            "a data set of the Hugging Face Hub, or a local one (needs the extra 'hf')",
            "hugging_face.load_hf",
            "NAME[:SPLIT][,streaming]",
            ("path", "label"),
            by_index=True,
        ),
        Source(
            "wds",
            "samples in .tar shards of webdataset: a folder, or such as FILE-{000..009}.tar",
            "webdataset.load_webdataset",
            "SHARDS",
            ("label",),
            by_index=True,
        ),
    )
}


def source_rows() -> list[tuple[str, str]]:
    """Return what can be written as a source, and one line about each."""
    return [
        (f"{name}:{source.argument}" if source.argument else name, source.description)
        for name, source in SOURCES.items()
    ]
