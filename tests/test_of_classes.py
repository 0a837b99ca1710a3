"""Parts of data and of sets by their classes, and what an object is by its name."""

from pathlib import Path

import pytest
import torch

import attar
from attar.data import as_splits, from_tensors
from attar.errors import BadRequest


def data(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(24, 1, 8, 8, generator=generator), torch.arange(24) % 3


NAMES = ["ant", "bee", "cow"]


def test_data_of_some_classes_are_numbered_in_their_order() -> None:
    whole = from_tensors(*data(), class_names=NAMES).train
    part = whole.of_classes(["cow", "ant"])
    assert part.class_names == ("cow", "ant")
    assert part.preprocessing == whole.preprocessing
    cow, ant = whole.indices_of_class[2], whole.indices_of_class[0]
    assert torch.equal(part.images, whole.images[torch.cat([cow, ant])])
    assert part.labels.tolist() == [0] * 8 + [1] * 8
    with pytest.raises(BadRequest, match="unknown class"):
        whole.of_classes(["dog", "ant"])


@pytest.mark.parametrize("method", ["dm", "lodm"])
def test_sets_of_some_classes_keep_what_is_stored(method: str, tmp_path: Path) -> None:
    given = from_tensors(*data(), class_names=NAMES)
    whole = attar.condense(given, method=method, ipc=2, iterations=1, validation=0.0)
    part = whole.of_classes(["cow", "ant"])
    each = whole.header.images_per_class
    assert torch.equal(part.images, torch.cat([whole.images[2 * each :], whole.images[:each]]))
    assert part.labels.tolist() == [0] * each + [1] * each
    part.save(tmp_path / "part.safetensors")
    assert torch.equal(attar.load(tmp_path / "part.safetensors").images, part.images)


def test_sets_that_cannot_be_parted_say_so() -> None:
    given = from_tensors(*data(), class_names=NAMES)
    learnt = attar.condense(data(), method="frepo", zca="none",
                            ipc=1, iterations=1, validation=0.0)  # fmt: skip
    with pytest.raises(BadRequest, match="learnt labels cannot be parted"):
        learnt.of_classes(["0", "1"])
    plain = attar.condense(given, method="random", ipc=1)
    with pytest.raises(BadRequest, match="one or more"):
        plain.of_classes([])


def test_a_name_says_what_an_object_is() -> None:
    named = attar.condense(data(), method="dsa", ipc=1, iterations=1, validation=0.0, name="mnist")
    assert named.header.provenance["dataset"] == "mnist"
    # digits are not mirrored, as by their name from a source
    assert "flip" not in named.header.settings["objective"]["augment"]
    other = attar.condense(data(), method="dsa", ipc=1, iterations=1, validation=0.0)
    assert "flip" in other.header.settings["objective"]["augment"]
    assert "name='mnist'" in named.header.provenance["command"]


def test_what_a_method_fixes_by_name_holds_for_objects() -> None:
    rows = torch.rand(24, 3, 8, 8, generator=torch.Generator().manual_seed(0)), data()[1]
    grey = attar.condense(rows, method="frepo", ipc=1, iterations=1, validation=0.0, name="mnist")
    other = attar.condense(rows, method="frepo", ipc=1, iterations=1, validation=0.0)
    assert (grey.header.zca, other.header.zca) == ("none", "frepo")


def test_another_name_than_data_have_is_refused() -> None:
    assert as_splits("digits", name="digits").train.name == "digits"
    with pytest.raises(BadRequest, match="name='mnist': these data have the name 'digits'"):
        as_splits("digits", name="mnist")
