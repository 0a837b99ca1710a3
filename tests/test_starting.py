"""Runs that begin where others ended: a longer run, and a set as a start."""

from pathlib import Path
from typing import Any

import pytest
import torch

import attar
from attar import BadRequest
from attar.condensing.log import read_log
from attar.condensing.paths import Paths
from attar.synthetic import LowRank, Pixels

QUICK: dict[str, Any] = {
    "method": "dsa",
    "network": "convnet1:width=4",
    "settings": ("batch_real=4",),
    "ipc": 2,
    "validation": 0,
    "device": "cpu",
    "classes": 3,
    "per_class": 12,
}


def condensed(out: Path | None = None, **options: Any) -> attar.Artefact:
    return attar.condense("digits", output=out, **{**QUICK, **options})


# a complete run goes on


@pytest.mark.parametrize("more", [{}, {"average": 0.9}, {"optimiser": "adam", "lr": 0.1}], ids=str)
def test_a_complete_run_goes_on_to_what_a_longer_one_is(
    out: Path, tmp_path: Path, more: dict[str, Any]
) -> None:
    longer = condensed(tmp_path / "longer" / out.name, iterations=8, **more)
    short = condensed(out, iterations=4, **more)
    assert not torch.equal(short.images, longer.images)
    found = condensed(out, iterations=8, resume=True, **more)
    assert torch.equal(found.images, longer.images) and found.header.step == 8
    assert out.read_bytes() == (tmp_path / "longer" / out.name).read_bytes()
    # and again, or not at all
    assert condensed(out, iterations=8, resume=True, **more).header.step == 8
    assert condensed(out, iterations=9, resume=True, **more).header.step == 9


def test_a_start_goes_on_to_a_run(out: Path) -> None:
    condensed(out, iterations=0)
    assert not Paths(out).end.exists()
    found = condensed(out, iterations=4, resume=True)
    assert torch.equal(found.images, condensed(iterations=4).images)


def test_of_a_longer_run_the_later_iterates_are_validated(out: Path) -> None:
    options = {"validation": 0.25, "validations": 2}
    condensed(out, iterations=4, **options)
    condensed(out, iterations=8, resume=True, **options)
    rows = [row for row in read_log(Paths(out).log) if "validation" in row]
    assert [row["step"] for row in rows] == [2, 4, 8]


def test_a_complete_run_cannot_become_shorter_or_another(out: Path) -> None:
    condensed(out, iterations=4)
    before = out.read_bytes()
    with pytest.raises(BadRequest, match="complete with --iterations 4; give more"):
        condensed(out, iterations=3, resume=True)
    with pytest.raises(BadRequest, match="another seed"):
        condensed(out, iterations=8, resume=True, seed=1)
    Paths(out).end.unlink()
    with pytest.raises(BadRequest, match=r"set.end.safetensors, .*is not there; --init"):
        condensed(out, iterations=8, resume=True)
    assert out.read_bytes() == before


def test_a_longer_run_that_is_killed_goes_on(out: Path, tmp_path: Path) -> None:
    class Killed(attar.Callback):
        def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
            if step == 7:
                raise MemoryError

    longer = condensed(tmp_path / "longer" / out.name, iterations=8)
    condensed(out, iterations=4)
    with pytest.raises(MemoryError):
        condensed(out, iterations=8, resume=True, checkpoint_seconds=0, callback=Killed())
    assert Paths(out).begun == Paths(out).checkpoint
    assert torch.equal(condensed(out, iterations=8, resume=True).images, longer.images)


# a set as a start


def test_a_set_starts_from_the_images_of_another(out: Path) -> None:
    before = condensed(out, iterations=3)
    after = condensed(iterations=0, init=out)
    assert torch.equal(after.images, before.images)
    assert after.header.settings["init"]["name"] == out.name
    assert (
        f"init='{out}'" in after.header.provenance["command"].replace('"', "'")
        or str(out) in after.header.provenance["command"]
    )
    moved = condensed(iterations=2, init=str(out))
    assert not torch.equal(moved.images, before.images)


def test_another_form_is_fitted_to_the_images(out: Path) -> None:
    before = condensed(out, iterations=3)
    assert isinstance(before.synthetic.parametrization, Pixels)
    after = condensed(
        iterations=0, init=out, method="lodm", rank=8, ipc=None, synthetic_per_class=1
    )
    assert isinstance(after.synthetic.parametrization, LowRank)
    # of full rank, so nothing is lost; the first image of each class
    torch.testing.assert_close(after.images, before.images[::2], rtol=0, atol=1e-5)


def test_learnt_labels_start_from_learnt_labels(out: Path) -> None:
    options: dict[str, Any] = {"method": "frepo", "zca": "none", "ipc": 1}
    before = condensed(out, iterations=3, **options)
    after = condensed(iterations=0, init=out, **options)
    assert torch.equal(after.labels, before.labels)
    plain = condensed(iterations=0, init=condensed_file(out.with_name("dm.safetensors")), **options)
    assert torch.equal(plain.labels.argmax(dim=1), torch.arange(3))


def condensed_file(path: Path) -> Path:
    condensed(path, iterations=1)
    return path


def test_a_start_that_does_not_fit_is_refused(out: Path) -> None:
    condensed(out, iterations=1)
    for options, said in (
        ({"ipc": 3}, "2 images per class, 3 are asked for; give --images-per-class 2"),
        ({"classes": "2,1,0"}, "its classes are 0, 1, 2, those of the data 2, 1, 0"),
        ({"resize": 10}, "--resize"),
        ({"init": out.with_name("no.safetensors")}, "no such file"),
        ({"init": "nothing"}, "unknown value of --init 'nothing'"),
        ({"method": "random", "iterations": None}, "never updates them"),
    ):
        with pytest.raises(BadRequest, match=said):
            condensed(
                **{"init": out, **({} if "method" in options else {"iterations": 1}), **options}
            )


def test_a_resumed_run_has_the_same_start(out: Path, tmp_path: Path) -> None:
    start = condensed_file(tmp_path / "start.safetensors")
    condensed(out, iterations=2, init=start)
    condensed(start, iterations=2, overwrite=True)
    with pytest.raises(BadRequest, match="another init"):
        condensed(out, iterations=4, init=start, resume=True)
