"""The one place for device, precision and compilation."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attar.errors import BadRequest

PRECISIONS = ("float32", "bfloat16")
_DEVICES = "auto, cpu, cuda, cuda:N or mps"
# what a module makes of images
Method = Callable[[nn.Module, Tensor], Tensor]
# Images per call. On a CPU the activations of a chunk should stay near the caches; a GPU wants
# to be filled.
CHUNK = {"cpu": 32, "cuda": 2048}
# times as many whose graph is kept
_GRAPHS = 4
# of these, at most so many bytes, as layers' results and gradients count: a quarter to two
# thirds are there at once
GRAPH = 4 * 2**30
# Below this effort, as networks weigh it, compilation costs more than it saves (measured: see the
# benchmarks page). A rule in place of a stopwatch keeps a run repeatable.
COMPILE_FROM_PIXELS = 3e8


@dataclass(frozen=True)
class Compute:
    """How the arithmetic is done.

    Args:
        device: where.
        precision: ``float32``, or ``bfloat16`` for mixed precision (parameters, images and
            losses stay float32).
        compile: whether hot functions are compiled.
        chunk: the most images per call.
    """

    device: torch.device
    precision: str
    compile: bool
    chunk: int

    @property
    def graph_chunk(self) -> int:
        """The most images per call whose graph is kept for a backward pass."""
        return _GRAPHS * self.chunk

    @property
    def second_order_chunk(self) -> int:
        """The most images per call whose gradient is differentiated in its turn.

        Its graph takes some three times as much, which counts where memory bounds a call.
        """
        bounded = self.chunk < CHUNK.get(self.device.type, self.chunk)
        return self.chunk if bounded else self.graph_chunk

    def plain(self) -> Compute:
        """Return the same without compilation, and in the precision that pays then."""
        precision = "float32" if self.device.type == "cpu" else self.precision
        return dataclasses.replace(self, compile=False, precision=precision)

    def lay_out(self, tensor: Tensor) -> Tensor:
        """Return ``tensor`` in the memory layout that is fast here."""
        if tensor.ndim != 4 or not (self.compile or self.device.type == "cuda"):
            return tensor.contiguous()
        return tensor.contiguous(memory_format=torch.channels_last)

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context under which networks run."""
        if self.precision == "float32":
            return contextlib.nullcontext()
        # cached casts would outlive the transform that they were made under
        return torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False)

    def describe(self) -> dict[str, Any]:
        """Return the choice as a plain dictionary."""
        return {**asdict(self), "device": str(self.device)}

    def record(self) -> dict[str, Any]:
        """Return the same with the number of threads, which results depend on in their last bits.

        No run is refused for it, and on a GPU it plays no part.
        """
        on_cpu = self.device.type == "cpu"
        return self.describe() | ({"threads": torch.get_num_threads()} if on_cpu else {})


def choose(
    device: str = "auto",
    precision: str = "auto",
    compile: str = "auto",
    *,
    pixels: float = float("inf"),
    chunk: int | None = None,
    graph: int = 0,
) -> Compute:
    """Return a concrete choice; ``auto`` takes what pays on this machine.

    Args:
        device: ``auto`` (a CUDA device where there is one, else the CPU), ``cpu``, ``cuda``,
            ``cuda:1``, … or ``mps``
        precision: ``auto``, ``float32`` or ``bfloat16``.
        compile: ``auto``, ``on`` or ``off``.
        pixels: that the whole run will send through networks, as `Network.effort` counts them.
        chunk: the most images per call; None for the device's own, on a CPU fewer where they are
            large.
        graph: bytes that layers give of one image, with their gradients.

    Raises:
        BadRequest: an unknown value, or a device that is not there.
    """
    place = _device(device)
    if precision not in ("auto", *PRECISIONS):
        raise BadRequest(f"--precision {precision!r}: auto, {' or '.join(PRECISIONS)}")
    if compile not in ("auto", "on", "off"):
        raise BadRequest(f"--compile {compile!r}: auto, on or off")
    if chunk is not None and chunk < 1:
        raise BadRequest(f"--chunk {chunk}: at least one image per call is needed")
    compiled = compile == "on" or (compile == "auto" and pixels >= COMPILE_FROM_PIXELS)
    if precision == "auto":
        # on a CPU, uncompiled bfloat16 normalization loses what the convolutions gain
        pays = has_fast_bfloat16(place) and (compiled or place.type == "cuda")
        precision = "bfloat16" if pays else "float32"
    return Compute(place, precision, compiled, chunk or _usual_chunk(place.type, graph))


def _usual_chunk(kind: str, graph: int) -> int:
    """Return the most images per call: what they take decides, not what is free, as runs repeat."""
    usual = CHUNK.get(kind, 64)
    if kind != "cpu" or not graph:
        return usual
    return max(1, min(usual, GRAPH // (_GRAPHS * graph)))


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise BadRequest(f"--device {name!r}: {_DEVICES}") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BadRequest(
            f"--device {name}: this machine shows {torch.cuda.device_count()} CUDA device(s); "
            "use --device cpu"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise BadRequest(
            f"--device {name}: torch finds no GPU of Apple's on this machine; use --device cpu"
        )
    if device.type not in ("cpu", "cuda", "mps"):
        raise BadRequest(f"--device {name!r}: {_DEVICES}")
    return device


@functools.cache
def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic is done in hardware on ``device``."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


# the first failed compilation; there is no second attempt in the process
_FAILURES: list[Exception] = []


def compiled(function: Callable[..., Any], compute: Compute) -> Callable[..., Any]:
    """Return ``function`` compiled where ``compute`` says so.

    A compilation that fails is reported in one warning, and the function runs as it is.
    """
    if not compute.compile:
        return function
    _compile_every_shape()
    fast = torch.compile(function, dynamic=False)

    @functools.wraps(function)
    def guarded(*arguments: Any) -> Any:
        if not _FAILURES:
            try:
                with _quiet_compiler():
                    return fast(*arguments)
            except Exception as error:
                if not _is_compiler_error(error):
                    raise
                _FAILURES.append(error)
                warnings.warn(
                    f"compilation failed ({type(error).__name__}); going on without. "
                    "--compile off avoids the attempt.",
                    stacklevel=2,
                )
        return function(*arguments)

    return guarded


def _compile_every_shape() -> None:
    """Let Dynamo compile as many variants of one function as it would of all together.

    It counts those of every network and shape in the process, since they share their code, and runs
    each that comes after the eighth uncompiled.
    """
    import torch._dynamo.config as dynamo

    dynamo.recompile_limit = max(dynamo.recompile_limit, dynamo.accumulated_recompile_limit)


@contextlib.contextmanager
def _quiet_compiler() -> Any:
    with warnings.catch_warnings():
        # deprecations inside the compiler itself are none of the user's business
        warnings.filterwarnings("ignore", module=r"torch\.")
        # nor, on a CPU, that a toolkit finds no GPU, of which Inductor of torch 2.15 warns
        extensions = logging.getLogger("torch.utils.cpp_extension")
        extensions.addFilter(_says_more)
        try:
            yield
        finally:
            extensions.removeFilter(_says_more)


def _says_more(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("No CUDA runtime is found")


def _is_compiler_error(error: Exception) -> bool:
    home = type(error).__module__
    return home.startswith(("torch._dynamo", "torch._inductor", "torch._functorch"))


class Functional:
    """A method of a network as one function of its tensors, compiled once.

    Parameters are inputs, so every freshly drawn network reuses the compiled function.

    Args:
        module: any drawn network; gives the structure, and keeps its training or evaluation mode.
        method: ``embed`` for features, ``forward`` for scores; or a function of the module and
            images.
        compute: device, precision, compilation.
    """

    def __init__(self, module: nn.Module, method: str | Method, compute: Compute) -> None:
        self._structure = _Method(module, method)
        self._compute = compute
        self._function = compiled(self.plain, compute)
        self.parameter_names = tuple(name for name, _ in self._structure.named_parameters())
        buffers = tuple(name for name, _ in self._structure.named_buffers())
        self._names = (*self.parameter_names, *buffers)

    def tensors(self, module: nn.Module) -> dict[str, Tensor]:
        """Return the parameters and buffers of a drawn network, detached, as `__call__` takes."""
        named = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        return self.arranged({f"module.{name}": tensor.detach() for name, tensor in named.items()})

    def arranged(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors in the order and memory layout of `tensors`, which a file may have lost.

        A compiled function is made for one order and layout.
        """
        return {name: self._compute.lay_out(tensors[name]) for name in self._names}

    def __call__(self, tensors: dict[str, Tensor], images: Tensor) -> Tensor:
        """Return the method's float32 result (B×D) for ``images`` (B×C×H×W)."""
        return self._function(tensors, self._compute.lay_out(images))

    def chunk(self, tensors: dict[str, Tensor], images: Tensor) -> Tensor:
        """Return the same for at most a chunk of images, filled up to one, without gradients.

        So all calls have one shape, and what is compiled is compiled once.
        """
        missing = images.new_zeros(self._compute.chunk - len(images), *images.shape[1:])
        with torch.no_grad():
            return self(tensors, torch.cat([images, missing]))[: len(images)]

    def plain(self, tensors: dict[str, Tensor], images: Tensor) -> Tensor:
        """Return the same without compilation; for use inside a compiled function."""
        with self._compute.autocast():
            result = torch.func.functional_call(self._structure, tensors, (images,))
        return result.float()


class _Method(nn.Module):
    def __init__(self, module: nn.Module, method: str | Method) -> None:
        super().__init__()
        self.module = module
        self.method = method

    def forward(self, images: Tensor) -> Tensor:
        if isinstance(self.method, str):
            return getattr(self.module, self.method)(images)
        return self.method(self.module, images)


def peak_memory(device: torch.device) -> int:
    """Return the most bytes this process has held so far, on ``device``; 0 where unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return 0
    import resource

    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
