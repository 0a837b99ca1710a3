"""Wall minutes, validations that fit into them, compilation that pays: rules on given clocks."""

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import attar
from attar import Callback, condense
from attar.cli import run
from attar.condensing import compiling
from attar.condensing.checkpoint import compute_of
from attar.condensing.pacing import Pace
from attar.condensing.paths import Paths
from attar.condensing.plan import Plan
from attar.condensing.planning import make_plan
from attar.condensing.request import Request
from attar.condensing.telling import Estimate
from attar.condensing.validating import Cost, Schedule, Validator, fitting, told
from attar.data import LabelledImages, Splits
from attar.errors import RunFailed
from attar.paying import COMPILING, pays
from attar.tensors import read_header
from catalogue import tiny_data

pytestmark = pytest.mark.usefixtures("minding_ctrl_c")

OPTIONS: dict[str, Any] = {
    "method": "dm",
    "ipc": 1,
    "network": "convnet2:width=8",
    "card": "dc-300",
    "settings": ("batch_real=5",),
    "validation": 0.25,
    "validations": 2,
    "lr": 0.5,
    "device": "cpu",
}


@pytest.fixture
def data() -> LabelledImages:
    return tiny_data(counts=(12, 12, 12))


class Ticking:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# the clock


def test_minutes_count_from_the_start_of_the_command() -> None:
    clock = Ticking()
    pace = Pace(1000, 1.0, began=90.0, clock=clock)
    # ten seconds of imports and reading are gone
    assert pace.seconds() == 10.0
    pace.open()
    pace.passed(0, 0.0)
    assert pace.share(0) == 0.0
    clock.now += 23.9
    pace.passed(5, 5.0)
    # 2.2 seconds are left for writing: half of the 47.8 between reading and that
    assert pace.share(5) == pytest.approx(0.5)
    clock.now = 90.0 + 52.0
    pace.passed(9, 5.0)
    assert pace.share(9) < 1
    clock.now = 90.0 + 53.0
    pace.passed(10, 5.0)
    assert pace.share(10) == 1.0


def test_there_is_room_for_the_last_validation() -> None:
    clock = Ticking()
    pace = Pace(1000, 1.0, began=100.0, clock=clock)
    pace.validates(20.0)
    pace.validates(4.0)
    clock.now = 100.0 + 26.7
    pace.passed(3, 1.0)
    assert pace.share(3) < 1
    clock.now = 100.0 + 26.9
    pace.passed(4, 1.0)
    assert pace.share(4) == 1.0


def test_a_run_makes_one_update_however_late_it_is() -> None:
    clock = Ticking()
    pace = Pace(1000, 0.1, began=0.0, clock=clock)
    pace.passed(0, 0.0)
    assert pace.share(0) < 1
    pace.passed(1, 3.0)
    assert pace.share(1) == 1.0


def test_time_of_earlier_commands_counts() -> None:
    clock = Ticking()
    pace = Pace(1000, 1.0, began=100.0, clock=clock)
    pace.resume(50.0, opened=4.0)
    pace.passed(7, 0.0)
    assert pace.share(7) == pytest.approx(46 / 53.8)
    clock.now += 9.0
    pace.passed(7, 0.0)
    assert pace.share(7) == 1.0 and pace.here() == 9.0 and pace.seconds() == 59.0


def test_updates_do_not_look_at_the_clock() -> None:
    pace = Pace(8, None, began=0.0, clock=Ticking())
    pace.passed(2, 1e9)
    assert pace.share(2) == 0.25 and pace.share(8) == 1.0
    assert Pace(0, None).share(0) == 1.0


# validations


@pytest.mark.parametrize(
    ("allowed", "fits"),
    [
        # each takes 100 · 0.1 + 2 = 12 s
        (60.0, Schedule(5)),
        (1000.0, Schedule(5)),
        (40.0, Schedule(3)),
        # one alone selects nothing: two brief ones, of (20 / 2 - 2) / 0.1 epochs
        (20.0, Schedule(2, 80)),
        # of fewer than ten epochs they say nothing
        (5.9, Schedule(0)),
        (0.0, Schedule(0)),
    ],
)
def test_validations_fit_into_a_tenth_of_the_time(allowed: float, fits: Schedule) -> None:
    cost = Cost(epoch=0.1, test=2.0)
    found = fitting(5, 100, cost, allowed)
    assert found.count == fits.count and found.epochs == pytest.approx(fits.epochs, abs=1)
    assert found.count * cost.seconds(found.epochs or 100) <= max(allowed, 1e-9)


def test_one_validation_that_was_asked_for_is_done_where_it_fits() -> None:
    cost = Cost(epoch=0.1, test=2.0)
    assert fitting(1, 100, cost, 12.5) == Schedule(1)
    assert fitting(1, 5, cost, 2.6) == Schedule(1)
    assert fitting(5, 100, Cost(0.0, 0.0), 1.0) == Schedule(5)


def test_other_validations_than_asked_for_are_told() -> None:
    assert told(5, None, 5, 12.0) == ()
    assert "no validation (one takes 12 s" in told(0, None, 5, 12.0)[0]
    assert "2 of 5 validations, of 80 epochs each" in told(2, 80, 5, 12.0)[0]
    assert "3 of 5 validations (" in told(3, None, 5, 12.0)[0]


class Noting(Callback):
    """Notes what is told."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.estimate: Estimate | None = None
        self.plan: Plan | None = None
        self.validated_at: list[int] = []

    def planned(self, plan: Plan, step: int) -> None:
        self.plan = plan

    def phase(self, name: str) -> None:
        self.phases.append(name)

    def started(self, plan: Plan, estimate: Estimate, step: int) -> None:
        self.estimate = estimate

    def validated(self, step: int, accuracy: float) -> None:
        self.validated_at.append(step)


def test_slow_validations_are_left_out_and_said(
    data: LabelledImages, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Validator, "cost", lambda self, run: Cost(epoch=1.0, test=1.0))
    noting = Noting()
    made = condense(data, minutes=0.05, output=out, callback=noting, torch_compile="off", **OPTIONS)
    assert noting.estimate is not None and noting.plan is not None
    assert "no validation" in noting.estimate.notes[0]
    assert noting.validated_at == [] and made.header.validation is None
    assert made.header.step >= 1
    # so many updates are validated as they always were, whatever it takes
    noting = Noting()
    condense(data, iterations=4, callback=noting, torch_compile="off", **OPTIONS)
    assert noting.validated_at == [2, 4] and noting.estimate is not None
    assert noting.estimate.notes == () and noting.estimate.validating_seconds > 50


def test_a_run_names_its_phases(data: LabelledImages, out: Path) -> None:
    noting = Noting()
    condense(data, iterations=2, output=out, callback=noting, torch_compile="off", **OPTIONS)
    last = noting.phases[-5:]
    assert noting.phases[0] == "measuring" and last.count("validating") == 2
    assert last[-1] == "writing" and "condensing" in last


# compilation


@pytest.mark.parametrize(
    ("minutes", "slowdown", "compiled"),
    [
        (3, 1, False),
        (5, 1, True),
        (30, 1, True),
        # the machine of a busy core that compiled for two minutes of eight
        (8, 3, False),
        (30, 3, True),
        # a small board
        (30, 12, False),
        (120, 12, True),
        (0.1, 1, False),
    ],
)
def test_compilation_waits_for_time_enough(minutes: float, slowdown: float, compiled: bool) -> None:
    left = 60 * minutes - 5 * slowdown
    assert pays(0.5 * slowdown, left, slowdown) is compiled


@pytest.mark.parametrize("slowdown", [0.5, 1.0, 2.0, 5.0, 20.0])
@pytest.mark.parametrize("step", [0.001, 1.0, 60.0])
def test_compilation_never_takes_more_than_a_fifth_and_always_gains(
    slowdown: float, step: float
) -> None:
    for minutes in (0.5, 1, 2, 4, 8, 16, 32, 64, 500):
        left = 60.0 * minutes
        if pays(step, left, slowdown):
            cost = COMPILING * slowdown
            assert cost <= left / 5
            assert 2 * (left - cost) / step > left / step


def test_a_run_by_the_clock_compiles_where_it_pays(
    data: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plan_of(**options: Any) -> Plan:
        class Seen(Exception):
            pass

        class Looking(Callback):
            def planned(self, plan: Plan, step: int) -> None:
                raise Seen(plan)

        with pytest.raises(Seen) as seen:
            condense(data, callback=Looking(), **(OPTIONS | options))
        return seen.value.args[0]

    monkeypatch.setattr(compiling, "slowdown", lambda: 1.0)
    assert plan_of(minutes=30).compute.compile
    assert not plan_of(minutes=30, torch_compile="off").compute.compile
    assert not plan_of(minutes=1).compute.compile
    monkeypatch.setattr(compiling, "slowdown", lambda: 50.0)
    slow = plan_of(minutes=30).compute
    assert not slow.compile and slow.precision == "float32"


def test_compiling_by_the_clock_keeps_the_images_of_a_call(
    data: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What memory does not hold uncompiled it does not hold compiled."""
    monkeypatch.setattr("attar.compute.GRAPH", 1)
    monkeypatch.setattr(compiling, "slowdown", lambda: 1.0)
    monkeypatch.setattr(compiling, "pays", lambda *_: True)
    plan = make_plan(Request(**{**OPTIONS, "minutes": 30.0}), Splits(data, data))
    assert plan.compute.chunk == 1 and not plan.compute.compile
    compute = compiling.settled(plan, 1800.0).compute
    assert compute.chunk == 1 and compute.compile


@pytest.mark.parametrize("compiled", [True, False])
def test_a_run_goes_on_as_it_was_begun(
    data: LabelledImages, out: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    """Whatever the stopwatch says by then."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)

    class Stopping(Callback):
        def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
            signal.raise_signal(signal.SIGINT)

    begun, by_then = (1.0, 50.0) if compiled else (50.0, 1.0)
    monkeypatch.setattr(compiling, "slowdown", lambda: begun)
    with pytest.raises(RunFailed, match="interrupted"):
        condense(data, minutes=30, output=out, callback=Stopping(), **OPTIONS)
    assert compute_of(Paths(out).checkpoint)["compile"] is compiled
    monkeypatch.setattr(compiling, "slowdown", lambda: by_then)
    with pytest.raises(RunFailed, match="interrupted at step 2"):
        condense(data, minutes=30, output=out, resume=True, callback=Stopping(), **OPTIONS)
    assert read_header(Paths(out).checkpoint)["identity"]["compute"]["compile"] is compiled
    # with little time left it ends, and being complete is not refused either
    made = condense(data, minutes=1e-4, output=out, resume=True, **OPTIONS)
    assert made.header.settings["compute"]["compile"] is compiled and made.header.step == 2
    again = condense(data, minutes=1e-4, output=out, resume=True, **OPTIONS)
    assert again.header == made.header


# being asked to stop


class Pressing(Callback):
    """Presses Ctrl-C while something is done."""

    def __init__(self, phase: str, turn: int = 1) -> None:
        self.wanted = phase
        self.turn = turn
        self.heard: list[str] = []

    def phase(self, name: str) -> None:
        if name == self.wanted:
            self.turn -= 1
            if self.turn == 0:
                signal.setitimer(signal.ITIMER_REAL, 0.01)

    def stopping(self, after: str) -> None:
        self.heard.append(after)


@pytest.fixture
def alarm_as_ctrl_c():
    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(("phase", "turn", "step"), [("validating", 2, 2), ("validating", 3, 4)])
def test_a_validation_is_left_at_once_and_done_again(
    data: LabelledImages,
    out: Path,
    tmp_path: Path,
    phase: str,
    turn: int,
    step: int,
    alarm_as_ctrl_c: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = OPTIONS | {"iterations": 4, "torch_compile": "off"}
    whole = tmp_path / "whole" / out.name
    condense(data, output=whole, **options)
    hits = Validator.hits

    def endless(self: Validator, run: Any, epochs: int | None = None) -> Any:
        if run.step == step:
            while True:
                hits(self, run, 1)
        return hits(self, run, epochs)

    pressing = Pressing(phase, turn)
    with monkeypatch.context() as patch:
        patch.setattr(Validator, "hits", endless)
        with pytest.raises(RunFailed, match=f"interrupted at step {step}; continue with --resume"):
            condense(data, output=out, callback=pressing, **options)
    assert pressing.heard == [""]
    condense(data, output=out, resume=True, **options)
    assert out.read_bytes() == whole.read_bytes()


def test_a_compilation_is_left_at_once(
    data: LabelledImages, out: Path, alarm_as_ctrl_c: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(function: Any, **options: Any) -> Any:
        def compile_and_run(*arguments: Any) -> Any:
            while True:
                pass

        return compile_and_run

    monkeypatch.setattr(torch, "compile", endless)
    options = OPTIONS | {"iterations": 4, "torch_compile": "on", "validation": 0}
    pressing = Pressing("compiling")
    with pytest.raises(RunFailed, match="interrupted at step 0; continue with --resume"):
        condense(data, output=out, callback=pressing, **options)
    assert pressing.heard == [""] and Paths(out).checkpoint.exists()


def test_a_step_is_ended_and_the_request_acknowledged(data: LabelledImages) -> None:
    class Once(Callback):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
            signal.raise_signal(signal.SIGINT)

        def stopping(self, after: str) -> None:
            self.heard.append(after)

    once = Once()
    with pytest.raises(RunFailed, match="interrupted at step 1"):
        condense(data, iterations=4, torch_compile="off", callback=once, **OPTIONS)
    assert once.heard == ["this step"]


def test_the_first_line_comes_before_anything_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from attar.cli import console, run\n"
        "say = console.err.print\n"
        "def first(*words, **options):\n"
        "    print(words[0], 'torch' in sys.modules)\n"
        "    sys.exit(0)\n"
        "console.err.print = first\n"
        f"run(['condense', 'digits', '-o', {str(tmp_path / 'set.safetensors')!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "attar condense: reading digits False\n", done.stderr


def test_wall_seconds_of_a_run_are_those_of_its_commands(data: LabelledImages, out: Path) -> None:
    class Ending(Callback):
        def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
            if step == 2:
                raise RunFailed("ended")

    options = OPTIONS | {"iterations": 4, "torch_compile": "off", "checkpoint_seconds": 0}
    for _ in range(2):
        with pytest.raises(RunFailed):
            condense(data, output=out, resume=True, callback=Ending(), **options)
            # resumed after step 1, it ends before step 2 again
    header = read_header(Paths(out).checkpoint)
    assert header["seconds"] > header["opened"] > 0


def test_plans_of_the_clock_and_of_updates_are_the_same_run(data: LabelledImages) -> None:
    plans: list[Plan] = []

    class Looking(Callback):
        def planned(self, plan: Plan, step: int) -> None:
            plans.append(plan)

    condense(data, iterations=1, torch_compile="off", callback=Looking(), **OPTIONS)
    condense(data, minutes=0.01, torch_compile="off", callback=Looking(), **OPTIONS)
    one, other = (dataclasses.asdict(plan.compute) for plan in plans)
    assert one == other and attar.Request(minutes=3).minutes == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "interrupted at step 3; continue with --resume -o demo/digits.safetensors.",
            "interrupted at step 3; 'attar demo' starts again",
        ),
        (
            "the run diverged at step 1 (loss nan). Try a lower --lr (now 1) or --precision "
            "float32.",
            "the run diverged at step 1 (loss nan); 'attar demo' starts again",
        ),
        ("no space left; free some", "no space left; free some; 'attar demo' starts again"),
    ],
)
def test_the_demo_advises_no_option_that_it_lacks(
    text: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RunFailed(text)

    monkeypatch.setattr("attar.condensing.condense.carry_out", fail)
    assert run(["demo", "-o", str(tmp_path / "demo")]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"attar: {said}"
