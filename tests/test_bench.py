"""Suites that run: resumed, changed, failing, interrupted, and what they write."""

import csv
import json
import re
import signal
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from scipy import stats

import attar
from attar.benching import Asked, bench
from attar.benching import work as working
from attar.benching.cells import Work, expand, slug
from attar.benching.folder import Folder
from attar.benching.results import gather
from attar.benching.running import Progress
from attar.benching.session import BenchCallback
from attar.benching.suite import Suite
from attar.benching.work import Outcome
from attar.cli import run
from attar.condensing.paths import Paths
from attar.errors import BadRequest, RunFailed
from attar.evaluation.record import evaluation_path, read_record

NETWORK = "convnet1:width=4"
NO_BREAK = "\N{NO-BREAK SPACE}"
BASE: dict[str, Any] = {
    "name": "tried",
    "title": "Tried",
    "datasets": {"digits": {"source": "digits", "classes": 2, "per_class": 10}},
    "methods": ["random", {"method": "lodm", "name": "LoDM"}],
    "budgets": [1],
    "networks": [NETWORK],
    "seeds": 2,
    "repeats": 2,
    "evaluation": {"epochs": 1},
    "options": {"network": NETWORK, "iterations": 3, "validation": 0},
}


class Seen(BenchCallback):
    """Remembers how every piece of work ended."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    def ended(self, progress: Progress, work: Work, outcome: Outcome, log: Path) -> None:
        assert work.key == outcome.key and log.exists()
        self.outcomes[work.key] = outcome.status


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "tried.yaml"
    path.write_text(yaml.safe_dump({**BASE, **changes}), encoding="utf-8")
    return path


def done(folder: Path, path: Path, **asked: Any) -> tuple[dict[str, str], Progress]:
    """Run a suite in this process and return what was done, and how far it is."""
    seen = Seen()
    _, progress = bench(Asked(path, folder / "out", jobs=0, **asked), seen)
    return seen.outcomes, progress


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "out" / "results.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    outcomes, progress = done(folder, write(folder))
    assert len(outcomes) == progress.done == progress.total == 8
    assert set(outcomes.values()) == {"done"}
    return folder


def test_csv_holds_what_the_records_give(finished: Path) -> None:
    rows = rows_of(finished)
    assert [row["method"] for row in rows] == ["random", "LoDM"]
    for row in rows:
        accuracies = []
        for seed in (0, 1):
            stem = finished / "out" / "sets" / "digits" / row["method"] / "ipc-1"
            artefact = stem / f"seed-{seed}.safetensors"
            (evaluation,) = read_record(evaluation_path(artefact)).evaluations
            (own,) = evaluation.rows
            (result,) = own.results
            assert result.network == NETWORK == row["network"] and result.card == row["card"]
            accuracies += result.accuracies
            assert own.paper_bytes == attar.load(artefact).totals.paper == int(row["paper_bytes"])
            assert own.bytes == int(row["bytes"])
            assert str(own.images_per_class) == row["images_per_class"]
        assert [float(one) for one in row["accuracies"].split()] == accuracies
        assert len(accuracies) == int(row["networks"]) == 4
        assert row["sets"] == row["sets_wanted"] == "2" and row["status"] == "done"
        assert float(row["mean"]) == pytest.approx(statistics.fmean(accuracies))
        assert float(row["std"]) == pytest.approx(statistics.pstdev(accuracies))
        reference = stats.t.interval(
            0.95, 3, loc=statistics.fmean(accuracies), scale=stats.sem(accuracies)
        )
        assert float(row["interval"]) == pytest.approx((reference[1] - reference[0]) / 2)
        assert float(row["seconds_per_set"]) > 0 and float(row["seconds_per_network"]) > 0


def test_markdown_and_html_hold_the_same_figures(finished: Path) -> None:
    text = (finished / "out" / "results.md").read_text(encoding="utf-8")
    page = (finished / "out" / "results.html").read_text(encoding="utf-8")
    for row in rows_of(finished):
        mean, std, interval = (float(row[name]) for name in ("mean", "std", "interval"))
        figure = f"{mean:.2f}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{std:.2f} (±{interval:.2f})"
        assert f"| {row['method']} | {figure} |" in text
        assert figure in page
    assert "attar bench" in text and "attar bench" in page
    assert "4 networks on 2 sets where nothing else is said" in text
    assert "All 8 pieces of work are done." in text
    assert "Card dsa-1000 (epochs 1) for every row" in text
    assert "http" not in re.sub("http-equiv|http://www.w3.org/2000/svg", "", page)


def test_networks_of_different_sets_differ(finished: Path) -> None:
    folder = finished / "out" / "measured" / "digits" / "random" / "ipc-1"
    seeds = [json.loads(path.read_text())["identity"]["seed"] for path in folder.rglob("*.json")]
    assert sorted(seeds) == [0, 1]


def test_what_is_done_is_not_done_again(finished: Path) -> None:
    before = (finished / "out" / "results.csv").read_bytes()
    outcomes, progress = done(finished, write(finished))
    assert not outcomes and progress.kept == progress.total == 8
    assert (finished / "out" / "results.csv").read_bytes() == before


def test_a_changed_suite_does_again_what_changed_alone(tmp_path: Path) -> None:
    small = {"seeds": 1, "repeats": 1, "budgets": [1, 2]}
    done(tmp_path, write(tmp_path, **small))
    random, lodm = "digits/random/ipc-1/seed-0", "digits/LoDM/ipc-1/seed-0"
    network = "convnet1-width=4"
    found = (tmp_path / "out" / "sets" / f"{random}.safetensors").read_bytes()

    def evaluated(outcomes: dict[str, str]) -> list[str]:
        return [key for key in outcomes if network in key]

    # one method's own option: its sets, and the networks on them
    methods = ["random", {"method": "lodm", "name": "LoDM", "lr": 0.5}]
    outcomes, _ = done(tmp_path, write(tmp_path, **small, methods=methods))
    assert {key.split("/")[1] for key in outcomes} == {"LoDM"} and len(outcomes) == 4
    assert (
        attar.load(tmp_path / "out" / "sets" / f"{lodm}.safetensors").header.settings["optimisers"][
            "images"
        ]["lr"]
        == 0.5
    )
    # another budget: that alone
    small["budgets"] = [1, 3]
    outcomes, _ = done(tmp_path, write(tmp_path, **small, methods=methods))
    assert {key.split("/")[2] for key in outcomes} == {"ipc-3"} and len(outcomes) == 4
    # another number of networks: no set
    small["repeats"] = 2
    outcomes, _ = done(tmp_path, write(tmp_path, **small, methods=methods))
    assert len(outcomes) == 4 == len(evaluated(outcomes))
    assert [row["networks"] for row in rows_of(tmp_path)] == ["2", "2", "2", "2"]
    assert (tmp_path / "out" / "sets" / f"{random}.safetensors").read_bytes() == found


def test_a_set_that_was_replaced_or_damaged_is_measured_or_made_again(tmp_path: Path) -> None:
    small = {"seeds": 1, "repeats": 1}
    path = write(tmp_path, **small)
    done(tmp_path, path)
    sets = tmp_path / "out" / "sets" / "digits"
    one = sets / "LoDM" / "ipc-1" / "seed-0.safetensors"
    made = attar.load(one)
    with torch.no_grad():
        next(iter(made.synthetic.parameters())).mul_(1.5)
    made.save(one)
    two = sets / "random" / "ipc-1" / "seed-0.safetensors"
    two.write_bytes(two.read_bytes()[:100])
    outcomes, _ = done(tmp_path, path)
    assert len(outcomes) == 3 and set(outcomes.values()) == {"done"}
    assert "digits/LoDM/ipc-1/seed-0" not in outcomes


class Killed(BaseException):
    """Stands for the end of the process."""


def killed_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    def stepped(self: object, at: int, loss: float, share: float, seconds: float) -> None:
        if at == step:
            raise Killed

    monkeypatch.setattr(working._Lines, "stepped", stepped)


def test_a_killed_suite_goes_on_to_the_same_result(
    tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path)
    with monkeypatch.context() as patched:
        killed_after(patched, 3)
        with pytest.raises(Killed):
            done(tmp_path, path, checkpoint_seconds=0.0)
    output = tmp_path / "out" / "sets" / "digits" / "LoDM" / "ipc-1" / "seed-0.safetensors"
    assert Paths(output).checkpoint.exists() and not output.exists()
    outcomes, progress = done(tmp_path, path)
    assert progress.kept and progress.done == 8
    assert not any(key.startswith("digits/random/ipc-1/seed-0") for key in outcomes)
    log = (tmp_path / "out" / "logs" / "digits" / "LoDM" / "ipc-1" / "seed-0.log").read_text()
    assert "from step 2" in log
    for name in ("accuracies", "mean", "std", "bytes"):
        assert [row[name] for row in rows_of(tmp_path)] == [row[name] for row in rows_of(finished)]
    for made in (finished / "out" / "sets").rglob("seed-?.safetensors"):
        same = tmp_path / made.relative_to(finished)
        assert same.read_bytes() == made.read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_with_a_checkpoint_and_the_same_command_goes_on(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, seeds=1, repeats=1, methods=[{"method": "lodm", "name": "LoDM"}])

    def stepped(self: object, at: int, loss: float, share: float, seconds: float) -> None:
        if at == 2:
            signal.raise_signal(number)

    before = signal.getsignal(number)
    with monkeypatch.context() as patched:
        patched.setattr(working._Lines, "stepped", stepped)
        outcomes, progress = done(tmp_path, path)
    assert list(outcomes.values()) == ["stopped"] and progress.stopped and progress.done == 0
    assert signal.getsignal(number) is before
    output = tmp_path / "out" / "sets" / "digits" / "LoDM" / "ipc-1" / "seed-0.safetensors"
    assert Paths(output).checkpoint.exists()
    text = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "0 of 2 pieces of work are done" in text
    _, progress = done(tmp_path, path)
    assert progress.done == 2 and not progress.stopped


def test_an_allowance_ends_the_suite(tmp_path: Path) -> None:
    # so many that compiling would pay, were it not off
    options = {**BASE["options"], "iterations": 1_000_000, "compile": "off"}
    path = write(tmp_path, options=options, seeds=1, repeats=1)
    outcomes, progress = done(tmp_path, path, max_minutes=0.03)
    assert "--max-minutes" in progress.stopped
    assert outcomes["digits/LoDM/ipc-1/seed-0"] == "stopped"
    assert outcomes["digits/random/ipc-1/seed-0"] == "done"


def test_a_cell_that_fails_is_shown_with_its_log_and_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    methods = ["random", {"method": "lodm", "name": "LoDM", "lr": 1e38}]
    path = write(tmp_path, methods=methods, seeds=1, repeats=1)
    outcomes, progress = done(tmp_path, path)
    failed = "digits/LoDM/ipc-1/seed-0"
    assert outcomes[failed] == "failed" and progress.failures.keys() == {failed}
    # what depends on it is not tried, everything else is done
    assert len(outcomes) == 3 and progress.done == 2 and progress.total == 4
    log = tmp_path / "out" / "logs" / f"{failed}.log"
    assert "diverged" in log.read_text(encoding="utf-8")
    random, lodm = rows_of(tmp_path)
    assert random["status"] == "done" and lodm["status"] == "failed" and not lodm["mean"]
    assert lodm["log"] == f"logs/{failed}.log" and "diverged" in lodm["failure"]
    text = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "| LoDM | failed |" in text and f"([log](logs/{failed}.log))" in text
    page = (tmp_path / "out" / "results.html").read_text(encoding="utf-8")
    assert f'<a href="logs/{failed}.log">' in page and "diverged" in page
    status = run(["bench", str(path), "-o", str(tmp_path / "out"), "--jobs", "0"])
    err = capsys.readouterr().err
    assert status == 1 and "FAILED digits, LoDM" in err and "2 of 4 pieces of work" in err
    outcomes, progress = done(tmp_path, write(tmp_path, seeds=1, repeats=1))
    assert progress.done == 4 and [row["status"] for row in rows_of(tmp_path)] == ["done"] * 2


def test_a_defect_in_one_cell_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = working.carry_out

    def broken(request: Any, *given: Any, **more: Any) -> Any:
        if request.method == "random":
            raise ZeroDivisionError("a defect")
        return real(request, *given, **more)

    monkeypatch.setattr(working, "carry_out", broken)
    _, progress = done(tmp_path, write(tmp_path, seeds=1, repeats=1))
    assert progress.done == 2
    assert progress.failures == {"digits/random/ipc-1/seed-0": "ZeroDivisionError: a defect"}
    log = tmp_path / "out" / "logs" / "digits" / "random" / "ipc-1" / "seed-0.log"
    assert "Traceback" in log.read_text(encoding="utf-8")


def test_two_at_once_in_one_folder_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, seeds=1, repeats=1)

    class Second(BenchCallback):
        def ended(self, progress: Progress, work: Work, outcome: Outcome, log: Path) -> None:
            with pytest.raises(BadRequest, match=r"another run \(process \d+\) is at work"):
                bench(Asked(path, tmp_path / "out", jobs=0))

    bench(Asked(path, tmp_path / "out", jobs=0), Second())
    assert not done(tmp_path, path)[0]


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*words: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("attar.benching.folder.os.write", full)
    with pytest.raises(BadRequest, match=r"cannot be written to \(No space left"):
        bench(Asked(write(tmp_path), tmp_path / "out", jobs=0))


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"budgets": [1000]}, ("ipc 1000", "larger than the 20 training images")),
        ({"networks": ["resnet0"]}, ("digits", "network 'resnet0'")),
        ({"networks": ["convnet5"]}, ("digits", "convnet3 is the deepest")),
        (
            {"methods": [{"method": "lodm", "rank": 9}]},
            ("digits, lodm, ipc 1", "--rank 9", "ranks 1 to 8"),
        ),
        ({"datasets": {"digits": "npz:nowhere.npz"}}, ("dataset digits", "nowhere.npz")),
        ({"datasets": {"mnist": "digits"}}, ("dataset mnist", "calls itself 'digits'")),
        ({"datasets": {"digits": {"source": "digits", "classes": 11}}}, ("--classes 11",)),
        ({"options": {"device": "cuda:77"}}, ("cuda:77",)),
    ],
)
def test_what_does_not_fit_the_data_is_refused_before_any_work(
    changes: dict[str, Any], parts: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(BadRequest) as caught:
        done(tmp_path, write(tmp_path, **changes))
    for part in parts:
        assert part in str(caught.value)
    assert not (tmp_path / "out" / "sets").exists()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--size", "huge"), "unknown size"),
        (("--jobs", "-1"), "--jobs -1"),
        (("--max-minutes", "0"), "--max-minutes 0"),
        (("--smallest", "--size", "laptop"), "not both"),
        (("--data", "digit=digits"), "did you mean 'digits'"),
        (("--jobs", "0", "--ray", "auto"), "--jobs 0"),
    ],
)
def test_slips_at_the_command_line_are_refused(
    words: tuple[str, ...], part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, sizes={"laptop": {}})
    assert run(["bench", str(path), "-o", str(tmp_path / "out"), *words]) == 2
    shown = capsys.readouterr()
    assert part in shown.err and not shown.out
    assert not (tmp_path / "out" / "sets").exists()


def test_the_command_line_prints_one_json_object(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", str(finished / "tried.yaml"), "-o", str(finished / "out"), "--jobs", "0"]
    assert run([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["done"] == found["total"] == 8 and not found["failures"]
    assert [str(cell["mean"]) for cell in found["cells"]] == [
        row["mean"] for row in rows_of(finished)
    ]
    assert run(words) == 0
    assert "results.csv" in capsys.readouterr().out


def test_the_last_iterate_stands_beside_the_selected_one(tmp_path: Path) -> None:
    path = write(tmp_path, methods=["lodm"], seeds=1)
    done(tmp_path, path)
    artefact = tmp_path / "out" / "sets" / "digits" / "lodm" / "ipc-1" / "seed-0.safetensors"
    made = attar.load(artefact)
    made.save(Paths(artefact).last)
    made.header.iterate = "selected"
    made.save(artefact)
    done(tmp_path, path)
    own, last = rows_of(tmp_path)
    assert (own["variant"], last["variant"]) == ("", "last iterate")
    # the same images, and so the same accuracies
    assert own["accuracies"] == last["accuracies"] and last["networks"] == "2"
    text = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "| lodm, last iterate |" in text


def test_the_whole_training_set_has_a_row_of_its_own(tmp_path: Path) -> None:
    small: dict[str, Any] = {"whole": True, "seeds": 1, "repeats": 1, "methods": ["random"]}
    path = write(tmp_path, **small)
    _, progress = done(tmp_path, path, data_dir=tmp_path / "data")
    assert progress.total == 3
    _, whole = rows_of(tmp_path)
    assert whole["method"] == "whole" and not whole["budget"] and whole["networks"] == "1"
    assert int(whole["bytes"]) == 4 * 20 * 64
    text = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "| method | ipc 1 | all images |" in text
    # the epochs of the whole set follow the size of the set beside it
    outcomes, _ = done(tmp_path, write(tmp_path, **small, budgets=[2]), data_dir=tmp_path / "data")
    assert len(outcomes) == 3 and f"digits/whole/{slug(NETWORK)}" in outcomes


def test_published_figures_stand_beside_ours_and_are_marked(tmp_path: Path) -> None:
    from attar.published import published

    datasets = {"cifar10": {"source": "digits", "classes": 2, "per_class": 10}}
    path = write(
        tmp_path, datasets=datasets, methods=["random"], seeds=1, repeats=1, networks=["convnet3"]
    )
    bench(Asked(path, tmp_path / "out", jobs=0, smallest=True))
    (row,) = rows_of(tmp_path)
    figure = published("cifar10", "random", 1)[0]
    assert float(row["published_mean"]) == figure.mean
    assert row["published_source"] == figure.source
    text = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "| method | ipc 1 | ipc 1, published, full size |" in text
    assert "not to be compared" in " ".join(text.split()) and figure.source in text


def test_a_number_of_images_stands_beside_the_same_images_of_the_papers(tmp_path: Path) -> None:
    from attar.published import published

    datasets = {"cifar10": {"source": "digits", "classes": 2, "per_class": 10}}
    budgets = [{"images_per_class": 1}]
    path = write(
        tmp_path,
        datasets=datasets,
        methods=["lodm"],
        budgets=budgets,
        seeds=1,
        repeats=1,
        networks=["convnet3"],
        options={"validation": 0},
    )
    bench(Asked(path, tmp_path / "out", jobs=0, smallest=True))
    (row,) = rows_of(tmp_path)
    (same,) = published("cifar10", "lodm:same images", 1)
    assert float(row["published_mean"]) == same.mean == 24.8


def test_the_network_that_every_set_is_made_on_chooses_the_published_figure() -> None:
    base = {
        "name": "a",
        "datasets": ["cifar10"],
        "methods": ["dm", "random"],
        "budgets": [10],
        "networks": ["lenet"],
    }
    for network, wanted in (("alexnet:norm=batch", 31.4), ("convnet3:norm=batch", 33.4)):
        suite = Suite.model_validate({**base, "options": {"network": network}})
        makings, measurings = expand(suite)
        dm, random = gather(suite, Folder(Path("nowhere")), makings, measurings, {})
        assert [figure.mean for figure in dm.published] == [wanted]
        assert not random.published
    # nothing was published of sets made on this one
    suite = Suite.model_validate({**base, "options": {"network": "resnet18"}})
    assert not gather(suite, Folder(Path("nowhere")), *expand(suite), {})[0].published


def test_another_suite_or_size_does_not_replace_the_sets_of_a_folder(tmp_path: Path) -> None:
    small = {"seeds": 1, "repeats": 1, "sizes": {"laptop": {}, "short": {"iterations": 2}}}
    done(tmp_path, write(tmp_path, **small))
    sets = tmp_path / "out" / "sets"
    before = {path: path.read_bytes() for path in sets.rglob("*.safetensors")}
    with pytest.raises(BadRequest, match=r"'tried' \(laptop\).*'tried' \(short\)"):
        done(tmp_path, write(tmp_path, **small), size="short")
    with pytest.raises(BadRequest, match=r"'tried' \(laptop\).*'other' \(laptop\)"):
        done(tmp_path, write(tmp_path, **small, name="other"))
    assert {path: path.read_bytes() for path in sets.rglob("*.safetensors")} == before
    assert not done(tmp_path, write(tmp_path, **small))[0]


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    path = write(tmp_path, seeds=1, repeats=1)
    for folder in (".", "sets/digits", "measured/digits/random"):
        (tmp_path / "out" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / folder / ".results.csv.abc.tmp").write_text("half")
    done(tmp_path, path)
    assert not list((tmp_path / "out").rglob("*.tmp"))


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises((BadRequest, RunFailed), match="out"):
        done(tmp_path, write(tmp_path))
