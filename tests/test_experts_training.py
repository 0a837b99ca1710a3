"""Training experts: what an expert is, and that nothing that happens on the way changes it."""

import dataclasses
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from attar.data import LabelledImages, as_splits
from attar.errors import BadRequest, Interrupted, RunFailed
from attar.experts import ExpertStore, train_experts
from attar.experts.claims import claim, someone_works
from attar.experts.header import read_header
from attar.experts.store import path_of
from attar.experts.telling import ExpertCallback
from attar.networks import Network, build
from attar.rng import Key
from attar.training import EvaluationCard, Trainer
from attar.training.learning import Midway
from catalogue import COMPUTE, NETWORK, tiny_data

DATA = tiny_data()
SETTINGS: dict[str, Any] = {
    "count": 2,
    "epochs": 3,
    "network": NETWORK,
    "batch": 8,
    "checkpoint_seconds": 0,
}


def trained(folder: Path, data: Any = DATA, **changes: Any) -> ExpertStore:
    return train_experts(data, output=folder, **{**SETTINGS, **changes})


def files(folder: Path) -> dict[str, bytes]:
    """Return the experts of a folder, and nothing else may be there but their header."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found.pop("experts.json")
    assert all(name.startswith("expert-") for name in found), list(found)
    return found


class Recorder(ExpertCallback):
    def __init__(self, interrupt_at: tuple[int, int] | None = None) -> None:
        self.seen: list[tuple[tuple[int, ...], int]] = []
        self.ended: list[int] = []
        self._at = interrupt_at

    def passed(self, experts: Sequence[int], epochs: int) -> None:
        self.seen.append((tuple(experts), epochs))
        if self._at == (experts[0], epochs):
            raise KeyboardInterrupt

    def made(self, expert: int, accuracy: float) -> None:
        assert 0 <= accuracy <= 100
        self.ended.append(expert)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two experts that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "experts"
    trained(folder)
    return folder


def tiny_network(data: LabelledImages = DATA, name: str = NETWORK) -> Network:
    channels, height, width = data.shape
    return build(name, channels, (height, width), data.classes)


def test_an_expert_is_plain_sgd_from_the_drawn_network(tmp_path: Path) -> None:
    """Every epoch of one batch is a step down the gradient, found here by autograd alone."""
    lr, decay = 0.05, 0.01
    store = trained(tmp_path / "e", batch=100, augment="none", lr=lr, weight_decay=decay)
    train = as_splits(DATA).train
    images, labels = train.take(torch.arange(len(train))).double(), train.labels
    for expert in range(2):
        found = store.segment(expert, 0, 3)
        drawn = tiny_network().draw(Key(0).fold("expert", expert, "network"))
        parameters = list(drawn.parameters())
        start = torch.nn.utils.parameters_to_vector(parameters).detach()
        assert torch.equal(found[0], start)
        drawn.double()
        for before, after in itertools.pairwise(found):
            torch.nn.utils.vector_to_parameters(before.double(), parameters)
            loss = functional.cross_entropy(drawn(images), labels)
            slope = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])
            wanted = before.double() - lr * (slope + decay * before.double())
            torch.testing.assert_close(after.double(), wanted, atol=1e-6, rtol=1e-5)


def test_an_expert_does_not_depend_on_the_others(tmp_path: Path, whole: Path) -> None:
    trained(tmp_path / "e", count=1)
    assert files(tmp_path / "e") == {
        name: content for name, content in files(whole).items() if name.startswith("expert-00000")
    }
    recorder = Recorder()
    trained(tmp_path / "e", callback=recorder)
    assert recorder.ended == [1]
    assert files(tmp_path / "e") == files(whole)
    (tmp_path / "e" / "expert-00000.safetensors").unlink()
    trained(tmp_path / "e")
    assert files(tmp_path / "e") == files(whole)


def test_fewer_than_there_are_leaves_them(tmp_path: Path) -> None:
    trained(tmp_path / "e")
    before = files(tmp_path / "e")
    recorder = Recorder()
    assert trained(tmp_path / "e", count=1, callback=recorder).count == 2
    assert files(tmp_path / "e") == before and not recorder.seen


def test_other_seeds_and_numbers_are_other_experts(tmp_path: Path, whole: Path) -> None:
    store = trained(tmp_path / "e", seed=1)
    one, two = store.segment(0, 0, 3), store.segment(1, 0, 3)
    assert not torch.equal(one[0], two[0])
    first = ExpertStore(whole, read_header(whole), [0]).segment(0, 0, 0)
    assert not torch.equal(first, one[:1])


def test_several_in_one_step_are_the_same_but_for_rounding(tmp_path: Path, whole: Path) -> None:
    store = trained(tmp_path / "e", count=3, together=2, epochs=3)
    alone = ExpertStore(whole, read_header(whole), [0, 1])
    for expert in range(2):
        torch.testing.assert_close(
            store.segment(expert, 0, 3), alone.segment(expert, 0, 3), atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
def test_half_precision_is_the_rounded_float32(tmp_path: Path, whole: Path, storage: str) -> None:
    store = trained(tmp_path / "e", storage=storage)
    full = ExpertStore(whole, read_header(whole), [0, 1]).segment(1, 0, 3)
    assert torch.equal(store.segment(1, 0, 3), full.to(getattr(torch, storage)).float())
    half = path_of(tmp_path / "e", 0).stat().st_size
    assert half < 0.6 * path_of(whole, 0).stat().st_size


@pytest.mark.parametrize("changes", [{}, {"momentum": 0.9}, {"together": 2}])
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    trained(tmp_path / "whole", count=3, **changes)
    with pytest.raises(Interrupted, match=r"of 3 experts.*The same command goes on"):
        trained(tmp_path / "e", count=3, **changes, callback=Recorder((2, 2)))
    recorder = Recorder()
    trained(tmp_path / "e", count=3, **changes, callback=recorder)
    # what was done is not done again
    assert recorder.seen == [((2,), 1), ((2,), 2), ((2,), 3)]
    assert recorder.ended == [2]
    assert files(tmp_path / "e") == files(tmp_path / "whole")


def test_a_group_that_is_half_written_is_completed(tmp_path: Path) -> None:
    trained(tmp_path / "e", together=2)
    before = files(tmp_path / "e")
    path_of(tmp_path / "e", 1).unlink()
    recorder = Recorder()
    trained(tmp_path / "e", together=2, callback=recorder)
    assert recorder.ended == [1]
    assert files(tmp_path / "e") == before


def test_what_cannot_be_gone_on_with_is_trained_from_the_start(tmp_path: Path, whole: Path) -> None:
    with pytest.raises(Interrupted):
        trained(tmp_path / "e", callback=Recorder((0, 2)))
    (kept,) = (tmp_path / "e").glob("unfinished-*")
    kept.write_bytes(kept.read_bytes()[:-10])
    with pytest.warns(UserWarning, match="trained from the start"):
        trained(tmp_path / "e")
    assert files(tmp_path / "e") == files(whole)


# --- killed, and several at once ---------------------------------------------------------------

RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
import test_experts_training as own
own.trained(sys.argv[2], count=3, epochs=30, callback=own.Killed((1, 5)))
"""


class Killed(Recorder):
    """Kills the process in the middle of an expert, as the system does: nothing is cleaned up."""

    def passed(self, experts: Sequence[int], epochs: int) -> None:
        if self._at == (experts[0], epochs):
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_run_goes_on_without_a_lost_or_doubled_expert(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN, str(Path(__file__).parent), str(tmp_path / "e")]
    ended = subprocess.run(command, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert list((tmp_path / "e").glob("unfinished-00001-*"))
    assert path_of(tmp_path / "e", 0).exists() and not path_of(tmp_path / "e", 2).exists()
    assert not someone_works(tmp_path / "e")
    recorder = Recorder()
    trained(tmp_path / "e", count=3, epochs=30, callback=recorder)
    assert recorder.seen[0][0] == (1,) and recorder.seen[0][1] >= 1
    assert recorder.ended == [1, 2]
    trained(tmp_path / "whole", count=3, epochs=30)
    assert files(tmp_path / "e") == files(tmp_path / "whole")


def test_an_expert_is_claimed_once(tmp_path: Path) -> None:
    one = claim(tmp_path, [0, 1])
    assert one is not None and claim(tmp_path, [1, 2]) is None
    other = claim(tmp_path, [2])
    assert other is not None, "a refused claim must not keep a part"
    assert someone_works(tmp_path)
    one.release()
    again = claim(tmp_path, [1])
    assert again is not None
    again.release()
    other.release()
    assert not someone_works(tmp_path) and not list(tmp_path.iterdir())


def test_experts_that_others_train_are_waited_for(tmp_path: Path, whole: Path) -> None:
    trained(tmp_path / "e", count=1)
    held = claim(tmp_path / "e", [1])
    assert held is not None

    class Other(Recorder):
        def waiting(self, experts: Sequence[int]) -> None:
            # the other process dies
            assert list(experts) == [1] and held is not None
            held.release()

    recorder = Other()
    trained(tmp_path / "e", callback=recorder)
    assert recorder.ended == [1]
    assert files(tmp_path / "e") == files(whole)


def test_two_runs_with_other_settings_do_not_share_a_folder(tmp_path: Path) -> None:
    class Late(Recorder):
        def started(self, *facts: Any) -> None:
            # both have found the folder empty; this one begins later
            trained(tmp_path / "e", epochs=2)

    late = Late()
    with pytest.raises(BadRequest, match="another run has taken the folder"):
        trained(tmp_path / "e", callback=late)
    assert not late.ended and not someone_works(tmp_path / "e")
    store = trained(tmp_path / "e", epochs=2)
    assert (store.header.epochs, store.count) == (2, 2)


@pytest.mark.slow
def test_several_processes_share_the_work(tmp_path: Path) -> None:
    trained(tmp_path / "whole", count=5)
    recorder = Recorder()
    trained(tmp_path / "e", count=5, jobs=2, callback=recorder)
    assert sorted(recorder.ended) == list(range(5))
    assert files(tmp_path / "e") == files(tmp_path / "whole")


@pytest.mark.slow
def test_the_others_do_the_work_of_a_process_that_is_killed(tmp_path: Path) -> None:
    trained(tmp_path / "whole", count=4, epochs=40)
    killed: list[int] = []

    class Killer(Recorder):
        def passed(self, experts: Sequence[int], epochs: int) -> None:
            super().passed(experts, epochs)
            if killed or epochs < 2:
                return
            for child in children():
                if (tmp_path / "e" / f".expert-{experts[0]:05d}.lock").exists():
                    killed.append(child)
                    subprocess.run(["kill", "-9", str(child)], check=True)
                    return

    with pytest.warns(UserWarning, match="SIGKILL.*the others did its work"):
        trained(tmp_path / "e", count=4, epochs=40, jobs=2, callback=Killer())
    assert killed
    assert files(tmp_path / "e") == files(tmp_path / "whole")


@pytest.mark.slow
def test_ctrl_c_ends_all_processes(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        trained(tmp_path / "e", count=3, epochs=30, jobs=2, callback=Recorder((0, 5)))
    assert not children() and not someone_works(tmp_path / "e")
    trained(tmp_path / "e", count=3, epochs=30)
    trained(tmp_path / "whole", count=3, epochs=30)
    assert files(tmp_path / "e") == files(tmp_path / "whole")


@pytest.mark.slow
def test_a_failure_in_a_process_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"diverged.*lower --lr"):
        trained(tmp_path / "e", jobs=2, lr=1e30)
    assert [path.name for path in (tmp_path / "e").iterdir()] == ["experts.json"]


def children() -> list[int]:
    """Return the processes that train for this one."""
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    found = [child for task in tasks for child in (task / "children").read_text().split()]
    return [
        int(child)
        for child in found
        if b"attar.parallel.worker" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


# --- what diverges ----------------------------------------------------------------------------


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"expert 0 diverged.*lower --lr.*Nothing of this expert"):
        trained(tmp_path / "e", lr=1e30)
    assert [path.name for path in (tmp_path / "e").iterdir()] == ["experts.json"]
    # the advice can be followed in the same folder
    assert trained(tmp_path / "e", count=1, lr=0.1).count == 1


def test_values_that_do_not_fit_the_storage_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"does not fit --storage float16; take --storage float32"):
        # every update makes the parameters ten thousand times larger
        wide = {"lr": 1.0, "weight_decay": 1e4, "batch": 100, "storage": "float16"}
        trained(tmp_path / "e", augment="none", **wide)
    assert [path.name for path in (tmp_path / "e").iterdir()] == ["experts.json"]


# --- the training loop between two epochs -----------------------------------------------------

CARD = EvaluationCard(
    "tried", "", 3, "crop_flip", lr=0.05, batch=8, schedule="drop", one_more=False
)


@pytest.mark.parametrize(
    ("name", "networks", "changes"),
    [
        (NETWORK, 1, {}),
        (NETWORK, 2, {}),
        (NETWORK, 1, {"optimiser": "adam"}),
        (NETWORK, 2, {"optimiser": "adam", "mixing": "cutmix"}),
        ("convnet2:width=8,norm=batch", 1, {"epochs": 6}),
    ],
)
def test_training_goes_on_between_any_two_epochs(
    name: str, networks: int, changes: dict[str, Any]
) -> None:
    card = dataclasses.replace(CARD, **changes)
    trainer = Trainer(tiny_network(name=name), COMPUTE, networks)
    keys = [Key(0).fold("tried", number) for number in range(networks)]
    seen: list[Midway] = []

    def after(midway: Midway) -> None:
        tensors = {name: tensor.clone() for name, tensor in midway.tensors.items()}
        kept = {n: {k: t.clone() for k, t in own.items()} for n, own in midway.optimiser.items()}
        seen.append(Midway(midway.epochs, tensors, kept))

    arguments = (DATA, DATA.labels, card, card.augment, keys)
    wanted = trainer.fit(*arguments)
    whole = trainer.fit_together(*arguments, after=after)
    assert [midway.epochs for midway in seen] == list(range(card.epochs + 1))
    for begun in [None, *seen]:
        found = whole if begun is None else trainer.fit_together(*arguments, begun=begun)
        for one, other in zip(found, wanted, strict=True):
            assert all(torch.equal(one[name], other[name]) for name in other)


def test_a_network_whose_images_mix_trains_alone(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"--together 2.*cannot train in one step"):
        trained(tmp_path / "e", together=2, network="convnet2:width=8,norm=batch")
