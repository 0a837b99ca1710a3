"""What is learnt beside a set is a part of its artefact: stored, counted, loaded, used."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import attar
from attar.artefact.loading import load_header
from attar.artefact.snapshots import load_snapshots, snapshots_path
from attar.condensing import checkpoint
from attar.methods import METHODS, Recipe, Task
from attar.objectives import NOTHING, DistributionMatching, Match, Problem, State
from attar.optimisers import Optimiser
from attar.synthetic import Pixels
from attar.tensors import read_header, read_tensors, save_tensors
from attar.training import card as find_card
from attar.training.fitting import fitted
from catalogue import tiny_data, tiny_run

COUNT = 3
DATA = tiny_data(counts=(12, 12, 12))


@dataclass(frozen=True)
class Stepwise(DistributionMatching):
    """Distribution matching that lets a vector, or a number, grow by its learning rate."""

    name: ClassVar[str] = "stepwise"
    scalar: bool = False

    def learned(self, problem: Problem) -> Mapping[str, Tensor]:
        return {"learned_lr": torch.tensor(0.5) if self.scalar else torch.full((COUNT,), 0.5)}

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Any,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        found = super().match(images, labels, problem, state, key, learned)
        slope = -torch.arange(1.0, COUNT + 1) if not self.scalar else torch.tensor(-1.0)
        return dataclasses.replace(found, learned={"learned_lr": slope})


def recipe_of(*, scalar: bool = False) -> Recipe:
    usual = METHODS["dm"].recipe(Task("tiny", 2, (1, 8, 8), 3))
    return dataclasses.replace(
        usual,
        objective=Stepwise(batch_real=5, augment="none", scalar=scalar),
        parametrization=Pixels(),
        optimisers={"images": Optimiser(0.1), "learned_lr": Optimiser(0.01)},
    )


def made(*, scalar: bool = False, **options: Any) -> attar.Artefact:
    usual: dict[str, Any] = {
        "ipc": 2,
        "iterations": 4,
        "network": "convnet2:width=8",
        "validation": 0,
        "torch_compile": "off",
    }
    if "max_bytes" in options:
        del usual["ipc"]
    return attar.condense(DATA, method=recipe_of(scalar=scalar), **usual | options)


def grown(steps: int) -> Tensor:
    return 0.5 + 0.01 * steps * torch.arange(1.0, COUNT + 1)


def test_a_vector_is_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    artefact = made(output=path)
    torch.testing.assert_close(artefact.learned["learned_lr"], grown(4))
    assert torch.equal(read_tensors(path)["learned.learned_lr"], artefact.learned["learned_lr"])
    loaded = attar.load(path)
    assert torch.equal(loaded.learned["learned_lr"], artefact.learned["learned_lr"])
    assert load_header(path).learned == {"learned_lr": [COUNT]}
    assert "learned_lr" not in loaded.header.provenance


def test_it_is_a_line_of_the_ledger_that_the_papers_do_not_count() -> None:
    (line,) = [one for one in made().ledger.entries if one.name == "learned.learned_lr"]
    assert (line.bytes, line.paper, line.why) == (4 * COUNT, False, "learnt beside the set")


@pytest.mark.parametrize(("spare", "images"), [(4 * COUNT, 2), (4 * COUNT - 1, 1)])
def test_a_budget_of_everything_counts_it_to_the_byte(
    spare: int, images: int, tmp_path: Path
) -> None:
    path = tmp_path / "set.safetensors"
    allowed = 3 * 2 * 64 * 4 + spare
    artefact = made(max_bytes=allowed, output=path)
    assert artefact.header.images_per_class == images
    assert attar.load(path).nbytes == 3 * images * 64 * 4 + 4 * COUNT <= allowed


def test_it_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    made(output=path, iterations=2)
    longer = made(output=path, resume=True)
    assert torch.equal(longer.learned["learned_lr"], made().learned["learned_lr"])


def test_the_selected_iterate_has_its_own(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    artefact = made(output=path, validation=0.4, validations=4)
    torch.testing.assert_close(artefact.learned["learned_lr"], grown(artefact.header.step))


@pytest.mark.parametrize("earlier", [False, True])
def test_what_a_checkpoint_keeps_of_the_best_iterate_is_read(earlier: bool, tmp_path: Path) -> None:
    path, run = tmp_path / "one.checkpoint.safetensors", tiny_run(Stepwise(scalar=True))
    run.advance()
    best = {name: one.clone() for name, one in run.iterate.state_dict().items()}
    kept = {} if earlier else {"learned_lr": torch.tensor(0.25)}
    progress = checkpoint.Progress(best_step=1, best=best, best_learned=kept)
    checkpoint.save(path, run, progress, {})
    if earlier:
        header = read_header(path) | {"best_values": {"learned_lr": 0.25}}
        save_tensors(path, read_tensors(path), header)
    found = checkpoint.restore(path, tiny_run(Stepwise(scalar=True)), {})
    assert float(found.best_learned["learned_lr"]) == 0.25


def test_snapshots_have_their_own(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    made(output=path, snapshots="0,2,4")
    for one in load_snapshots(snapshots_path(path)):
        torch.testing.assert_close(one.learned["learned_lr"], grown(one.header.step))


def test_evaluation_takes_a_number_and_leaves_a_vector() -> None:
    card = find_card("mtt")
    assert fitted(card, made(scalar=True), "cifar10").lr == pytest.approx(0.54)
    assert fitted(card, made(), "cifar10").lr == card.lr


def test_a_slimmed_set_keeps_it_and_a_merged_one_says_that_it_does_not() -> None:
    one = made()
    slimmed = attar.slim(one, 1, random=True)
    assert isinstance(slimmed, attar.Artefact)
    assert torch.equal(slimmed.learned["learned_lr"], one.learned["learned_lr"])
    with pytest.warns(UserWarning, match="learned_lr was learnt beside one of the sets alone"):
        merged = attar.merge(one, one, shared="join")
    assert not merged.learned and not merged.header.learned


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"learned.learned_lr": torch.full((COUNT,), torch.nan)}, "NaN"),
        ({"learned.learned_lr": torch.ones(COUNT + 1)}, "learned.learned_lr is"),
        ({"learned.learned_lr": torch.ones(COUNT, dtype=torch.float16)}, "learned.learned_lr is"),
        ({"learned.other": torch.ones(1)}, "learned.other are missing or do not belong"),
    ],
)
def test_a_file_that_tells_otherwise_is_refused(
    change: dict[str, Tensor], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "set.safetensors"
    made(output=path)
    save_tensors(path, read_tensors(path) | change, read_header(path))
    with pytest.raises(attar.ArtefactError, match=said):
        attar.load(path)


def test_files_without_any_have_no_word_of_it(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    attar.condense(DATA, method="random", ipc=1, output=path)
    assert "learned" not in read_header(path) and not attar.load(path).learned


def test_a_part_of_the_classes_keeps_it() -> None:
    one = made()
    part = one.of_classes(one.header.class_names[:2])
    assert torch.equal(part.learned["learned_lr"], one.learned["learned_lr"])
