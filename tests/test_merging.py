import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset

import attar
from attar import Artefact, BadRequest
from attar.cli import run

RED = ("resize", "zca")
QUICK: dict[str, Any] = {
    "method": "dm",
    "iterations": 2,
    "network": "convnet1:width=4",
    "settings": ("batch_real=4",),
    "synthetic_per_class": 2,
    "validation": 0,
    "zca": "none",
    "device": "cpu",
}


def of(classes: str, **options: Any) -> Artefact:
    """Condense some classes of the digits, under the constants of all."""
    whole = attar.load_source("digits", **{n: options.pop(n) for n in RED if n in options}).train
    names = classes.split(",")
    index = torch.cat([whole.indices_of_class[int(name)][:8] for name in names])
    own = dataclasses.replace(
        whole,
        images=whole.images[index],
        labels=torch.arange(len(names)).repeat_interleave(8),
        class_names=tuple(names),
    )
    return attar.condense((own, own), **{**QUICK, **options})


def sliced(classes: str) -> Artefact:
    return attar.condense("digits", classes=classes, per_class=8, **QUICK)


def test_classes_of_two_sets_are_numbered_anew() -> None:
    first, second = of("7,3"), of("1,5,8", seed=1)
    # what a user of torch would try, and what is wrong with it
    assert [label for _, label in ConcatDataset([first, second])][::2] == [0, 1, 0, 1, 2]
    both = attar.merge(first, second)
    assert both.header.class_names == ["7", "3", "1", "5", "8"]
    assert both.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert torch.equal(both.images, torch.cat([first.images, second.images]))
    assert both.header.class_counts is None and both.header.method == "dm"
    assert both.nbytes == first.nbytes + second.nbytes


def test_factors_stay_factors(out: Path) -> None:
    first, second = of("7,3", method="lodm"), of("1,5", method="lodm", synthetic_per_class=3)
    both = attar.merge(first, second)
    assert torch.equal(both.images, torch.cat([first.images, second.images]))
    assert both.header.class_counts == [2, 2, 3, 3]
    both.save(out)
    assert torch.equal(attar.load(out).images, both.images)
    assert [one["classes"] for one in both.header.provenance["merged"]] == [["7", "3"], ["1", "5"]]


def test_a_merged_set_knows_its_data(out: Path) -> None:
    attar.merge(sliced("7,3"), sliced("1,5")).save(out)
    (row,) = attar.evaluate(out, epochs=1, repeats=1, networks="convnet1:width=4")
    assert 0 <= row.results[0].mean <= 100
    with pytest.raises(BadRequest, match="does not say which data"):
        attar.evaluate(attar.merge(sliced("7,3"), sliced("7,3"), shared="apart"), epochs=1)


def test_shared_names_are_asked_about() -> None:
    first, second = of("7,3"), of("3,5", seed=1)
    with pytest.raises(BadRequest, match=r"artefact 2 has the class '3'.*join.*apart"):
        attar.merge(first, second)
    joined = attar.merge(first, second, shared="join")
    assert joined.header.class_names == ["7", "3", "5"]
    assert joined.labels.tolist() == [0, 0, 1, 1, 1, 1, 2, 2]
    assert torch.equal(joined.images[4:6], second.images[:2])
    apart = attar.merge(first, second, second, shared="apart")
    assert apart.header.class_names == ["7", "3", "3 (2)", "5", "3 (3)", "5 (3)"]


def of_arrays(scale: int, **options: Any) -> Artefact:
    noise = np.random.default_rng(scale).integers(0, scale, (16, 8, 8)).astype(np.uint8)
    names = [f"{scale} dark", f"{scale} light"]
    noise[8:] //= 2
    splits = attar.from_tensors(noise, np.repeat([0, 1], 8), names)
    return attar.condense(splits, **{**QUICK, **options})


@pytest.mark.parametrize("method", ["dm", "lodm"])
def test_other_constants_are_those_of_the_first_where_pixels_are_stored(method: str) -> None:
    first, second = of_arrays(100, method=method), of_arrays(250, method=method)
    assert first.preprocessing != second.preprocessing
    if method == "lodm":
        with pytest.raises(BadRequest, match=r"other constants.*--pixels .*pixels=True"):
            attar.merge(first, second)
    both = attar.merge(first, second, pixels=method == "lodm")
    assert both.preprocessing == first.preprocessing
    shown = torch.cat([first.pixels, second.pixels])
    torch.testing.assert_close(both.pixels, shown, rtol=0, atol=1e-6)


def test_other_forms_need_pixels() -> None:
    first, second = of("7,3"), of("1,5", method="lodm")
    with pytest.raises(BadRequest, match="stored as low_rank in float32, the first as pixels"):
        attar.merge(first, second)
    both = attar.merge(first, second, pixels=True)
    assert torch.equal(both.images, torch.cat([first.images, second.images]))
    halves = [of(classes, storage="float16") for classes in ("7,3", "1,5")]
    assert attar.merge(*halves).nbytes == halves[0].nbytes * 2


def test_what_does_not_go_together_is_refused() -> None:
    first = of("7,3")
    learnt = of("1,5", method="frepo", zca="none")
    for others, said in (
        ((), "1 artefact"),
        ((learnt,), "learnt labels"),
        ((of("1,5", resize=10),), "holds pictures of 1×10×10, the first"),
        ((of("1,5", zca="mtt"),), "whitened otherwise"),
    ):
        with pytest.raises(BadRequest, match=said):
            attar.merge(first, *others)
    with pytest.raises(BadRequest, match="unknown value of shared 'yes'"):
        attar.merge(first, first, shared="yes")  # pyright: ignore[reportArgumentType]
    with pytest.raises(BadRequest, match="in which images share what is stored"):
        decoded = [
            of(classes, method="kfs", synthetic_per_class=None) for classes in ("7,3", "1,5")
        ]
        attar.merge(*decoded)


def test_the_command_line_merges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(tmp_path / f"{name}.safetensors") for name in "abc"]
    for path, classes in zip(paths, ("7,3", "1,5"), strict=False):
        of(classes).save(path)
    assert run(["merge", *paths[:2], "-o", paths[2]]) == 0
    said = capsys.readouterr().out
    assert "4: 7, 3, 1, 5" in said and "?" not in said
    assert said.count("dm on digits") == 2 and "iterate" not in said
    assert run(["merge", *paths[:2], "-o", paths[2]]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run(["merge", *paths[:2], "-o", paths[2], "--overwrite", "--json"]) == 0
