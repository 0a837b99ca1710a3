"""A condensed memory in Avalanche, with the framework itself (tried with 0.6.0)."""

import pickle
import random
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import attar
from attar import BadRequest

with warnings.catch_warnings():
    # its own dependencies warn on import
    warnings.simplefilter("ignore")
    pytest.importorskip(
        "avalanche", reason="Avalanche is not installed: pip install 'attar[avalanche]'"
    )
    from avalanche.benchmarks import class_incremental_benchmark, nc_benchmark  # pyright: ignore
    from avalanche.benchmarks.utils import AvalancheDataset, DataAttribute  # pyright: ignore
    from avalanche.benchmarks.utils.classification_dataset import (  # pyright: ignore
        ClassificationDataset,
    )
    from avalanche.models import SimpleMLP  # pyright: ignore
    from avalanche.training import ER_ACE, EWC, LwF, Naive  # pyright: ignore
    from avalanche.training.plugins import ReplayPlugin  # pyright: ignore

from attar.applications.continual.avalanche import CondensedBuffer, CondensedGDumb

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    # evaluator=None says that nothing is logged
    pytest.mark.filterwarnings("ignore:No loggers specified"),
]
QUICK: dict[str, Any] = {
    "method": "dm",
    "iterations": 2,
    "settings": "batch_real=4",
    "network": "convnet1:width=4",
    "validation": 0,
    "device": "cpu",
}
MEAN, STD = (0.3,), (0.4,)


class Pictures(TensorDataset):
    """Inputs with ``targets``, as those of torchvision have."""

    def __init__(self, images: torch.Tensor, targets: torch.Tensor) -> None:
        super().__init__(images, targets)
        self.targets = targets.tolist()

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.tensors[0][index], self.targets[index]


def pixels(count: int = 4) -> Pictures:
    train = attar.load_source("digits", classes=count, per_class=12).train
    return Pictures(torch.as_tensor(train.images[:]).float() / 255, train.labels)


def normalised(image: torch.Tensor) -> torch.Tensor:
    return (image - MEAN[0]) / STD[0]


def noisy(image: torch.Tensor) -> torch.Tensor:
    return torch.full_like(image, 99.0)


def stream(count: int = 4, steps: int = 2, **options: Any) -> Any:
    data = pixels(count)
    return nc_benchmark(
        data,
        data,
        n_experiences=steps,
        task_labels=False,
        fixed_class_order=list(range(count)),
        **options,
    )


def network() -> nn.Module:
    return SimpleMLP(num_classes=4, input_size=64, hidden_size=8)


def trained(kind: Any, plugins: Any = (), **options: Any) -> Any:
    model = network()
    return kind(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=8,
        train_epochs=1,
        eval_mb_size=8,
        plugins=list(plugins),
        evaluator=None,
        **options,
    )


@pytest.mark.parametrize("kind", [Naive, EWC, LwF])
def test_a_condensed_memory_is_replayed_by_other_strategies(kind: Any) -> None:
    more = {EWC: {"ewc_lambda": 1.0}, LwF: {"alpha": 1.0, "temperature": 2.0}}.get(kind, {})
    buffer = CondensedBuffer(8, **QUICK)
    strategy = trained(kind, [ReplayPlugin(8, storage_policy=buffer)], **more)
    for seen, experience in enumerate(stream().train_stream, start=1):
        strategy.train(experience)
        # 8 of all classes: 4 of each of two, then 2 of each of four
        assert sorted(buffer.buffer.targets) == sorted(list(range(2 * seen)) * (4 // seen))
    strategy.eval(stream().test_stream)
    again = pickle.loads(pickle.dumps(buffer))
    assert torch.equal(again.buffer[0][0], buffer.buffer[0][0])


def test_a_strategy_with_its_own_policy_takes_ours() -> None:
    strategy = trained(ER_ACE, mem_size=8, batch_size_mem=4)
    strategy.storage_policy = CondensedBuffer(8, **QUICK)
    for experience in stream().train_stream:
        strategy.train(experience)
    assert len(strategy.storage_policy.buffer) == 8


def test_what_is_condensed_is_not_augmented_and_comes_back_as_inputs() -> None:
    given = stream(train_transform=noisy, eval_transform=normalised)
    with pytest.raises(BadRequest, match=r"from -0.75 to 1.75.*mean"):
        CondensedBuffer(8, **QUICK).post_adapt(None, given.train_stream[0])
    buffer = CondensedBuffer(8, mean=MEAN, std=STD, method="random", device="cpu")
    buffer.post_adapt(None, given.train_stream[0])
    real = normalised(pixels().tensors[0])
    for image, target, task in buffer.buffer:
        # a chosen image is one of those that the transform for evaluation makes
        away = (real - image).flatten(1).abs().amax(dim=1)
        assert float(away.min()) < 1e-5 and task == 0
        assert pixels().targets[int(away.argmin())] == target
    # transforms of replay are the buffer's own
    other = CondensedBuffer(8, method="random", device="cpu", transform=noisy)
    other.post_adapt(None, stream().train_stream[0])
    assert float(other.buffer[0][0].min()) == 99 and float(other.buffer.eval()[0][0].max()) <= 1


def test_the_global_generators_are_left_alone() -> None:
    experiences = stream(eval_transform=lambda one: one * torch.rand(1)).train_stream
    buffer = CondensedBuffer(8, **QUICK)
    torch.manual_seed(3), np.random.seed(3), random.seed(3)  # noqa: NPY002
    state = torch.get_rng_state(), np.random.get_state()[1], random.getstate()  # noqa: NPY002
    for experience in experiences:
        buffer.post_adapt(None, experience)
    buffer.resize(None, 4)
    assert len(buffer.buffer) == 4 == buffer.max_size
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state()[1] == state[1]).all()  # noqa: NPY002
    assert random.getstate() == state[2]


def test_gdumb_trains_a_new_network_every_time_on_the_memory_alone() -> None:
    starts, sizes = [], []

    class Watch(CondensedGDumb):
        def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
            starts.append(strategy.model.features[0].weight.detach().clone())
            sizes.append(len(strategy.adapted_dataset))
            assert not any(strategy.optimizer.state.values())

    strategy = trained(Naive, [Watch(CondensedBuffer(8, **QUICK), network)])
    parameters = set(map(id, strategy.model.parameters()))
    for experience in stream().train_stream:
        strategy.train(experience)
    assert sizes == [8, 8] and not torch.equal(*starts)
    assert set(map(id, strategy.optimizer.param_groups[0]["params"])) == parameters
    other = trained(
        Naive, [CondensedGDumb(CondensedBuffer(8, **QUICK), lambda: SimpleMLP(num_classes=3))]
    )
    with pytest.raises(BadRequest, match="another one than the strategy has"):
        other.train(stream().train_stream[0])


def test_learnt_labels_become_plain_ones_with_a_word() -> None:
    options: dict[str, Any] = {**QUICK, "method": "frepo", "settings": "pool=2"}
    buffer = CondensedBuffer(8, slim_iterations=1, **options)
    with pytest.warns(UserWarning, match="learnt label values"):
        buffer.post_adapt(None, stream().train_stream[0])
    assert all(type(one) is int for one in buffer.buffer.targets)
    # said once
    buffer.post_adapt(None, stream().train_stream[1])


def test_classes_that_the_stream_lost_are_named() -> None:
    def dataset() -> Any:
        data = pixels(5)
        return ClassificationDataset(
            [data], data_attributes=[DataAttribute(data.targets, "targets")]
        )

    order = [4, 0, 3, 1, 2]
    lost = class_incremental_benchmark(
        {"train": dataset()}, num_experiences=2, class_order=order
    ).train_stream
    # Avalanche 0.6.0 gives 2 and 2 of 5 classes
    assert sorted(c for one in lost for c in one.dataset.targets.uniques) == [0, 1, 3, 4]
    buffer = CondensedBuffer(10, **QUICK)
    with pytest.warns(UserWarning, match="classes 2 are in no experience"):
        buffer.post_adapt(None, lost[0])
    whole = class_incremental_benchmark(
        {"train": dataset()}, num_classes_per_exp=[3, 2], class_order=order
    ).train_stream
    buffer = CondensedBuffer(10, **QUICK)
    for experience in whole:
        buffer.post_adapt(None, experience)
    # data without task labels come back without them
    assert len(buffer.buffer) == 10 and len(buffer.buffer[0]) == 2
    assert isinstance(buffer.buffer, AvalancheDataset)


def test_classes_that_come_again_share_the_room() -> None:
    buffer = CondensedBuffer(8, **QUICK)
    for _ in range(2):
        buffer.post_adapt(None, stream().train_stream[0])
    assert sorted(buffer.buffer.targets) == [0] * 4 + [1] * 4


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (0, {}, "max_size=0"),
        (8, {"mean": (0.1,)}, "mean and std"),
        (8, {"ipc": 1}, "ipc"),
        (8, {"epochs": 1}, "epochs: an exemplar buffer"),
        (8, {"resize": 4}, "resize: an exemplar buffer"),
        (8, {"method": "mtt"}, "--method mtt.*by itself"),
        (8, {"nosuch": 1}, "nosuch"),
        (8, {"slimming": "nosuch"}, "nosuch"),
    ],
)
def test_what_a_buffer_cannot_do_is_refused(
    size: int, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadRequest, match=message):
        CondensedBuffer(size, **{**QUICK, **options})


def test_a_stream_that_never_fits_is_refused_at_its_first_experience() -> None:
    with pytest.raises(BadRequest, match="fewer than one of each of 4 classes"):
        CondensedBuffer(3, **QUICK).post_adapt(None, stream().train_stream[0])


def test_the_example_runs() -> None:
    example = Path(__file__).parent.parent / "examples" / "avalanche_replay.py"
    assert len(example.read_text().splitlines()) <= 60
    words = [sys.executable, "-W", "ignore", str(example), "digits", "3", "40", "2"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].startswith("condensed")
