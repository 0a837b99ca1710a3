"""One thread, so that sums are always taken in one order; slow and GPU tests only on request."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

# commands otherwise take a thread for every core that is free just then
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch

from attar import registry
from attar.wording import as_options

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def own_data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let nothing be kept in, or found in, the data folder of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTAR_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session", autouse=True)
def messages_as_they_are_written() -> Iterator[None]:
    """Let messages name options as the command line does, which is how they are written."""
    with as_options():
        yield


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "set.safetensors"


@pytest.fixture
def minding_ctrl_c() -> Iterator[None]:
    """Jobs in the background start with Ctrl-C ignored; some tests need it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def only_own() -> Iterator[None]:
    """Forget afterwards what a test registers."""
    kept = [(one, dict(one._added)) for one in registry._ALL]
    yield
    for one, added in kept:
        one._added.clear()
        one._added.update(added)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked_for_slow = "slow" in str(config.getoption("markexpr"))
    has_gpu = torch.cuda.is_available()
    for item in items:
        if item.get_closest_marker("slow") and not asked_for_slow:
            item.add_marker(pytest.mark.skip(reason="slow: run with -m slow"))
        if item.get_closest_marker("gpu") and not has_gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
