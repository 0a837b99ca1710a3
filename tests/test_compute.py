import dataclasses
import logging
import warnings

import pytest
import torch
from torch import Tensor, nn

from attar import compute as computing
from attar.compute import CHUNK, COMPILE_FROM_PIXELS, GRAPH, Compute, Functional, choose, compiled
from attar.errors import BadRequest
from attar.networks import build
from attar.objectives import DistributionMatching, Match
from attar.rng import Key
from catalogue import COMPUTE, CPU, tiny_data, tiny_problem

COMPILING = dataclasses.replace(COMPUTE, compile=True)


def match(compute: Compute, augment: str = "flip_scale") -> Match:
    problem = tiny_problem(tiny_data(3), 2, compute=compute)
    images = torch.randn(6, 3, 8, 8, generator=Key(1).generator())
    objective = DistributionMatching(5, augment)
    return objective.match(images, torch.zeros(6, 3), problem, {}, Key(0))


# choosing


def test_auto_is_settled_by_a_rule() -> None:
    few, many = choose("cpu", pixels=COMPILE_FROM_PIXELS - 1), choose("cpu", pixels=1e12)
    assert (few.compile, many.compile) == (False, True)
    assert choose("cpu").compile and choose("cpu", pixels=COMPILE_FROM_PIXELS).compile
    assert not choose("cpu", compile="off").compile
    assert choose("cpu", compile="on", pixels=0).compile
    assert choose("cpu", pixels=0) == choose("cpu", pixels=0)


def test_the_gpu_of_a_mac_is_taken_where_torch_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose("mps").device.type == "mps"
    # it has no float64, which some methods need: it is taken where it is asked for
    assert choose("auto").device.type != "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(BadRequest, match="--device mps: torch finds no GPU of Apple's"):
        choose("mps")


@pytest.fixture(autouse=True)
def forgetting_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computing, "_FAILURES", [])


@pytest.mark.parametrize("fast", [True, False])
def test_bfloat16_is_taken_where_it_is_fast_and_fused(
    fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computing, "has_fast_bfloat16", lambda device: fast)
    assert choose("cpu", pixels=0).precision == "float32"
    assert choose("cpu", pixels=1e12).precision == ("bfloat16" if fast else "float32")
    assert choose("cpu", "float32", pixels=1e12).precision == "float32"
    assert choose("cpu", "bfloat16", pixels=0).precision == "bfloat16"


def test_chunks() -> None:
    assert choose("cpu").chunk == CHUNK["cpu"] and choose("cpu", chunk=5).chunk == 5
    assert choose("cpu", chunk=5).graph_chunk == 20
    # the graph of a gradient's gradient is larger, which counts where memory bounds a call
    assert choose("cpu").second_order_chunk == choose("cpu").graph_chunk
    assert choose("cpu", chunk=5).second_order_chunk == 5


def test_fewer_large_images_are_sent_at_once() -> None:
    small, large = build("convnet3", 3, (32, 32), 10), build("resnet18", 3, (224, 224), 10)
    assert choose("cpu", graph=small.graph_bytes).chunk == CHUNK["cpu"]
    found = choose("cpu", graph=large.graph_bytes)
    assert found.graph_chunk * large.graph_bytes <= GRAPH and found.chunk == 1
    assert choose("cpu", graph=10**12).chunk == 1
    assert choose("cpu", graph=large.graph_bytes, chunk=9).chunk == 9


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": "gpu"}, "--device 'gpu': auto, cpu, cuda, cuda:N or mps"),
        ({"device": "meta"}, "--device 'meta': auto, cpu, cuda, cuda:N or mps"),
        ({"device": "cuda:99"}, "use --device cpu"),
        ({"precision": "float16"}, "--precision 'float16': auto, float32 or bfloat16"),
        ({"compile": "yes"}, "--compile 'yes': auto, on or off"),
        ({"chunk": 0}, "--chunk 0"),
    ],
)
def test_an_impossible_choice_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        choose(**options)  # type: ignore[arg-type]
    assert said in str(refusal.value)


def test_a_choice_describes_itself_in_plain_values() -> None:
    described = COMPUTE.describe()
    assert described == {"device": "cpu", "precision": "float32", "compile": False, "chunk": 32}


# precision


def test_autocast_runs_networks_in_bfloat16_and_gives_float32() -> None:
    module = build("convnet2:width=8", 3, (8, 8), 3).draw(Key(0))
    images = torch.randn(4, 3, 8, 8)
    half = dataclasses.replace(COMPUTE, precision="bfloat16")
    embed = Functional(module, "embed", half)
    found, exact = embed(embed.tensors(module), images), module.embed(images)
    assert found.dtype == torch.float32
    assert not torch.equal(found, exact)
    torch.testing.assert_close(found, exact, rtol=0.05, atol=0.05)
    full = Functional(module, "embed", COMPUTE)
    assert torch.equal(full(full.tensors(module), images), exact)


def test_bfloat16_matching_is_near_float32() -> None:
    half = match(dataclasses.replace(COMPUTE, precision="bfloat16"))
    full = match(COMPUTE)
    assert half.images is not None and full.images is not None
    assert half.loss.dtype == half.images.dtype == torch.float32
    torch.testing.assert_close(half.loss, full.loss, rtol=0.05, atol=0)
    cosine = nn.functional.cosine_similarity(half.images.flatten(), full.images.flatten(), dim=0)
    assert cosine > 0.98


# functions of tensors


@pytest.mark.parametrize("method", ["embed", "forward"])
def test_a_functional_serves_every_drawn_network(method: str) -> None:
    network = build("convnet2:width=8,norm=batch", 3, (8, 8), 3)
    function = Functional(network.draw(Key(0)), method, COMPUTE)
    images = torch.randn(4, 3, 8, 8)
    for seed in (1, 2):
        module = network.draw(Key(seed))
        tensors = function.tensors(module)
        assert not any(tensor.requires_grad for tensor in tensors.values())
        found = function(tensors, images)
        torch.testing.assert_close(found, getattr(network.draw(Key(seed)), method)(images))


def test_a_functional_keeps_the_mode_of_its_module() -> None:
    network = build("convnet2:width=8,norm=batch", 3, (8, 8), 3)
    images = torch.randn(4, 3, 8, 8) + 3
    training = Functional(network.draw(Key(0)).train(), "forward", COMPUTE)
    testing = Functional(network.draw(Key(0)).eval(), "forward", COMPUTE)
    tensors = training.tensors(network.draw(Key(1)))
    with torch.no_grad():
        assert not torch.allclose(training(tensors, images), testing(tensors, images), atol=1e-3)


def test_memory_layout() -> None:
    images = torch.randn(2, 3, 4, 4)
    assert COMPUTE.lay_out(images).is_contiguous()
    laid = COMPILING.lay_out(images)
    assert laid.is_contiguous(memory_format=torch.channels_last) and torch.equal(laid, images)
    assert COMPILING.lay_out(torch.randn(3, 4).T).is_contiguous()


# compilation


def failing_compile(kind: type[Exception], *arguments: object):
    """Stand in for torch.compile: what it returns fails at the first call."""

    def fake(function, **options):
        def run(*given):
            raise kind(*arguments)

        return run

    return fake


def compiler_errors() -> list[type[Exception]]:
    from torch._dynamo.exc import InternalTorchDynamoError
    from torch._inductor.exc import CppCompileError

    return [InternalTorchDynamoError, CppCompileError]


@pytest.mark.parametrize("which", [0, 1])
def test_a_failing_compilation_warns_once_and_goes_on(
    which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = compiler_errors()[which]
    plain = match(COMPUTE)
    monkeypatch.setattr(torch, "compile", failing_compile(kind, ["c++"], "no compiler"))
    problem = tiny_problem(tiny_data(3), 2, compute=COMPILING)
    images = torch.randn(6, 3, 8, 8, generator=Key(1).generator())
    objective = DistributionMatching(5, "flip_scale")
    with pytest.warns(UserWarning) as warned:
        found = [objective.match(images, torch.zeros(6, 3), problem, {}, Key(0)) for _ in range(2)]
    assert len(warned) == 1
    said = str(warned[0].message)
    assert f"compilation failed ({kind.__name__}); going on without" in said
    assert "--compile off avoids the attempt" in said
    for one in found:
        torch.testing.assert_close(one.loss, plain.loss)
        torch.testing.assert_close(one.images, plain.images)


def test_an_error_of_the_function_itself_is_no_compiler_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "compile", failing_compile(ZeroDivisionError, "mine"))
    function = compiled(lambda value: value, COMPILING)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="mine"):
            function(1)


def test_off_means_that_no_compiler_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda *_, **__: pytest.fail("compiled"))

    def function(value: Tensor) -> Tensor:
        return value + 1

    assert compiled(function, COMPUTE) is function


def test_warnings_inside_the_compiler_are_silenced_and_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def from_torch() -> int:
        warnings.warn_explicit("old", DeprecationWarning, "x.py", 1, module="torch._inductor.x")
        return 1

    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    assert compiled(from_torch, COMPILING)() == 1

    def from_elsewhere() -> None:
        warnings.warn("mine", UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match="mine"):
        compiled(from_elsewhere, COMPILING)()


def test_every_network_and_shape_of_a_process_is_compiled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[object] = []

    def counting(graph: torch.fx.GraphModule, _: object) -> object:
        made.append(graph)
        return graph.forward

    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda one, **how: compile_(one, backend=counting, **how))
    torch._dynamo.reset()
    for channels in (1, 3):
        module = build("convnet1:width=2", channels, (4, 4), 2).draw(Key(0))
        function = Functional(module, "forward", COMPILING)
        for count in range(2, 9):
            assert function(function.tensors(module), torch.zeros(count, channels, 4, 4)).shape
    torch._dynamo.reset()
    # torch would stop at eight, and say so in its log
    assert len(made) == 14
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


@pytest.mark.slow
def test_compiled_equals_eager() -> None:
    eager, fast = match(COMPUTE), match(COMPILING)
    assert eager.images is not None and fast.images is not None
    torch.testing.assert_close(fast.loss, eager.loss, rtol=1e-4, atol=0)
    scale = float(eager.images.abs().max())
    torch.testing.assert_close(fast.images, eager.images, rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives() -> None:
    cpu = match(COMPUTE)
    gpu = match(dataclasses.replace(COMPUTE, device=torch.device("cuda")))
    assert cpu.images is not None and gpu.images is not None
    torch.testing.assert_close(gpu.loss.cpu(), cpu.loss, rtol=1e-3, atol=0)
    torch.testing.assert_close(gpu.images.cpu(), cpu.images, rtol=1e-2, atol=1e-3)


def test_peak_memory_is_in_bytes() -> None:
    # an interpreter with torch holds between 50 MB and 50 GB
    assert 5e7 < computing.peak_memory(CPU) < 5e10
