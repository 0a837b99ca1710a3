"""How much autograd holds for backward passes."""

import contextlib
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

VERSION = tuple(int(part) for part in torch.__version__.split(".")[:2])
counts_saved_bytes = pytest.mark.skipif(
    VERSION < (2, 15),
    reason="older versions of PyTorch hold what hooks return for longer than the pass",
)


class SavedBytes:
    """Bytes that autograd holds for backward passes: now, and the most at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    @contextlib.contextmanager
    def counting(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Count inside the block, in transforms of `torch.func` as well."""
        count = self

        class Held:
            def __init__(self, tensor: Tensor) -> None:
                self.tensor, self.bytes = tensor, tensor.numel() * tensor.element_size()
                count.now += self.bytes
                count.most = max(count.most, count.now)

            def __del__(self) -> None:
                count.now -= self.bytes

        with monkeypatch.context() as patch:
            # transforms refuse hooks, since these might change what is saved; ours only look
            patch.setattr(
                torch.autograd.graph,
                "disable_saved_tensors_hooks",
                lambda message: contextlib.nullcontext(),
            )
            with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
                yield
