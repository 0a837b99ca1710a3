"""Suites whose sets are slimmed one from another: what is made of what, when, and the tables."""

import csv
import dataclasses
import pickle
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

import attar
from attar.benching import Asked, bench, read_suite
from attar.benching import work as working
from attar.benching.cell import Cell
from attar.benching.cells import expand, slug
from attar.benching.checking import check_against_data
from attar.benching.folder import Folder
from attar.benching.gaps import with_gaps
from attar.benching.making import Making, Slimming
from attar.benching.pages import Account
from attar.benching.results import gather
from attar.benching.running import Progress, Runner, Stop
from attar.benching.session import BenchCallback
from attar.benching.sizes import at_size, smallest
from attar.benching.suite import Suite
from attar.benching.tables import rows_of, tables
from attar.benching.work import Order, Outcome
from attar.condensing.paths import Paths
from attar.errors import BadRequest, RunFailed
from attar.parallel import Ended, Executor, Task
from attar.published import published

NETWORK = "convnet1:width=4"
BASE: dict[str, Any] = {
    "name": "tried",
    "datasets": {"digits": {"source": "digits", "classes": 2, "per_class": 10}},
    "methods": ["random", {"method": "dm", "name": "DM"}],
    "budgets": [1, 3, 2],
    "networks": [NETWORK],
    "repeats": 1,
    "evaluation": {"epochs": 1},
    "options": {"network": NETWORK, "iterations": 2, "validation": 0},
    "slimming": {"iterations": 3},
}
LBS = ["digits/DM-LBS/ipc-2/seed-0", "digits/DM-LBS/ipc-1/seed-0"]
LFS = ["digits/DM-LFS/ipc-2/seed-0", "digits/DM-LFS/ipc-1/seed-0"]


def suite(**changes: Any) -> Suite:
    return Suite.model_validate({**BASE, **changes})


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "tried.yaml"
    path.write_text(yaml.safe_dump({**BASE, **changes}), encoding="utf-8")
    return path


class Seen(BenchCallback):
    """Remembers how every piece of work ended, in turn."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    def ended(self, progress: Progress, work: Any, outcome: Outcome, log: Path) -> None:
        assert work.key == outcome.key and log.exists()
        self.outcomes[work.key] = outcome.status


def done(folder: Path, path: Path, **asked: Any) -> tuple[dict[str, str], Progress, Account]:
    seen = Seen()
    account, progress = bench(Asked(path, folder / "out", jobs=0, **asked), seen)
    return seen.outcomes, progress, account


def sets_among(keys: Iterable[str]) -> list[str]:
    return [key for key in keys if key.endswith("seed-0")]


def rows_in(folder: Path) -> list[dict[str, str]]:
    with (folder / "out" / "results.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slimmed")
    outcomes, progress, _ = done(folder, write(folder))
    # 3 random, 3 condensed, 2 of each way, and a network on each
    assert len(outcomes) == progress.done == progress.total == 20
    assert set(outcomes.values()) == {"done"}
    return folder


def slimmed(makings: Iterable[Making]) -> list[Slimming]:
    return [one for one in makings if isinstance(one, Slimming)]


def test_each_set_is_slimmed_from_the_one_before_it() -> None:
    makings, measurings = expand(suite(seeds=[4, 7]))
    known = {making.key: making for making in makings}
    found = slimmed(makings)
    assert len(found) == 2 * 2 * 2
    for one in found:
        assert known[one.before.key] == one.before
        assert (one.before.seed, one.before.dataset) == (one.seed, one.dataset)
        larger = {"ipc 1": "ipc 2", "ipc 2": "ipc 3"}[one.budget]
        # only the largest set is condensed from real images
        assert one.before.budget == larger
        assert one.before.row == ("DM" if larger == "ipc 3" else one.row)
        assert one.first.key == f"digits/DM/ipc-3/seed-{one.seed}"
    assert {one.row for one in found} == {"DM LBS", "DM LFS"}
    assert {measuring.making.key for measuring in measurings} == set(known)
    for work in (*makings, *measurings):
        assert pickle.loads(pickle.dumps(work)) == work


def test_the_options_of_a_slimming_are_those_that_mean_something_for_its_way() -> None:
    methods: list[Any] = [
        "herding",
        {"method": "dm", "slim": {"lr": 0.5, "set": {"batch_real": 4}}, "compile": "off"},
        {"method": "dm", "name": "matched", "slim": {"method": "slimmable", "iterations": 9}},
        {"method": "slimmable", "name": "ours", "network": "frepo1:width=4"},
        {"method": "lodm", "slim": False},
    ]
    options = {"share": "class", "storage": "float16", "lr": 0.1, "init": "random"}
    slimming = {"iterations": 3, "options": options}
    makings, _ = expand(suite(methods=methods, slimming=slimming, budgets=[2, 1], width=6))
    own = {one.row: one for one in slimmed(makings)}
    assert own.keys() == {f"{name} {way}" for name in ("dm", "matched", "ours") for way in WAYS}
    dm = own["dm LBS"].slim_request(output=Path("x.safetensors"))
    assert (dm.method, dm.lr, dm.settings, dm.iterations) == ("dm", 0.5, ("batch_real=4",), 3)
    assert (dm.network, dm.torch_compile, dm.share) == ("convnet1:width=6", "off", None)
    assert dm.storage == "float16" and dm.sizes() == (1,) and dm.output == Path("x.safetensors")
    random = own["dm LFS"].slim_request()
    assert random.random and not random.learning_free and random.storage == "float16"
    matched = own["matched LBS"].slim_request()
    assert (matched.method, matched.iterations, matched.share) == ("slimmable", 9, "class")
    # images are drawn where a set is not made of components
    assert own["matched LFS"].slim_request().random
    ours = own["ours LFS"].slim_request()
    assert ours.learning_free and ours.share == "class" and ours.iterations is None
    begun = own["ours LBS"].slim_request()
    assert (begun.method, begun.init, dm.init) == ("slimmable", "random", "significance")
    assert own["ours LBS"].options["network"] == "frepo1:width=6"


WAYS = ("LBS", "LFS")


def test_a_method_is_narrowed_on_its_own_network() -> None:
    options = {"validation": 0}
    makings, _ = expand(suite(methods=["dm", "frepo"], options=options, width=6))
    found = {(one.method, one.options.get("network")) for one in makings if not one.way}
    assert found == {("dm", "convnet3:width=6"), ("frepo", "frepo3:width=6")}


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"slimming": ["learning"]}, ("slimming.ways[0]", "learning-based")),
        ({"slimming": ["learning-free"] * 2}, ("slimming.ways[1]", "is there twice")),
        ({"slimming": "learning-free"}, ("slimming", "a list of learning-based")),
        ({"slimming": {"iteration": 3}}, ("slimming.iteration", "did you mean 'iterations'")),
        ({"slimming": {"iterations": 3, "minutes": 1}}, ("slimming", "not both")),
        ({"slimming": {"options": {"minutes": 1}}}, ("slimming.options", "beside options")),
        ({"slimming": {"options": {"lrr": 1}}}, ("slimming.options.lrr", "'lr'")),
        ({"slimming": {"options": {"expand": 1}}}, ("options.expand", "true or false")),
        ({"slimming": {"options": {"ipc": 1}}}, ("options.ipc", "unknown option 'ipc'")),
        ({"methods": [{"method": "dm", "slim": {"lrr": 1}}]}, ("methods[0].slim.lrr", "'lr'")),
        (
            {"methods": [{"method": "dm", "slim": {"lr": 1}}], "slimming": None},
            ("methods[0].slim", "slims no sets"),
        ),
        (
            {"sizes": {"laptop": {"slimming": {"iterations": 1}}}, "slimming": None},
            ("sizes.laptop.slimming", "slims no sets"),
        ),
    ],
    ids=str,
)
def test_slips_are_refused_with_their_place(
    changes: dict[str, Any], parts: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(BadRequest) as caught:
        read_suite(write(tmp_path, **changes))
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"budgets": [2, "1kB"]}, "DM, 1kB, seed 0: sets are slimmed to so many images"),
        ({"budgets": [{"ipc": 2, "count": "all"}, 1]}, "budgets such as 10 alone"),
        ({"budgets": [2, {"ipc": 2, "count": "paper"}]}, "name 2 images per class twice"),
        ({"budgets": [2]}, "'slimming' finds no set to slim"),
        ({"methods": ["random"]}, "'slimming' finds no set to slim"),
        (
            {"methods": ["dm", {"method": "lodm", "name": "dm LBS"}]},
            "'dm' LBS and 'dm LBS' would have",
        ),
        ({"slimming": {"options": {"optimiser": "adamm"}}}, "did you mean 'adam'"),
    ],
    ids=str,
)
def test_what_cannot_be_slimmed_is_refused_before_any_work(
    changes: dict[str, Any], part: str
) -> None:
    with pytest.raises(BadRequest, match=part):
        expand(suite(**changes))


@pytest.mark.parametrize(
    ("slim", "part"),
    [
        ({"method": "dmm"}, "did you mean 'dm'"),
        ({"method": "random"}, "'random'"),
        ({"set": {"batch_reel": 3}}, "batch_real"),
        ({"network": "resnet0"}, "resnet"),
        ({"card": "frepp"}, "'frepo'"),
    ],
    ids=str,
)
def test_options_that_do_not_fit_a_slimmer_are_refused_before_any_work(
    slim: dict[str, Any], part: str
) -> None:
    makings, measurings = expand(suite(methods=[{"method": "dm", "slim": slim}]))
    with pytest.raises(BadRequest, match=part) as caught:
        check_against_data(makings, measurings, None)
    assert "digits, dm LBS, ipc" in str(caught.value)


def test_a_card_is_looked_up_where_nothing_is_learnt_too() -> None:
    methods = [{"method": "dm", "slim": {"card": "frepp"}}]
    makings, measurings = expand(suite(methods=methods, slimming=["learning-free"]))
    with pytest.raises(BadRequest, match=r"dm LFS, ipc 2, seed 0: .*'frepo'"):
        check_against_data(makings, measurings, None)


def test_how_often_a_checkpoint_is_written_bears_on_no_set() -> None:
    def identities(slim: dict[str, Any]) -> list[Any]:
        makings, _ = expand(suite(methods=[{"method": "dm", "slim": slim}]))
        return [one.identity() for one in slimmed(makings)]

    assert identities({"checkpoint_seconds": 3}) == identities({}) != identities({"lr": 3})


def test_a_size_sets_the_length_of_every_slimming_and_tells_it() -> None:
    methods = [{"method": "dm", "slim": {"iterations": 9}}]
    sizes = {
        "paper": {},
        "timed": {"minutes": 0.5},
        "own": {"iterations": 7, "slimming": {"iterations": 4, "options": {"lr": 0.3}}},
        "free": {"slimming": ["learning-free"]},
    }

    def of(size: str) -> list[Slimming]:
        return slimmed(expand(at_size(suite(methods=methods, sizes=sizes), size).suite)[0])

    assert [one.options.get("iterations") for one in of("paper")] == [9, 9, None, None]
    assert [one.options.get("minutes") for one in of("timed")] == [0.5, 0.5, None, None]
    assert not any("iterations" in one.options for one in of("timed"))
    assert [one.options.get("iterations") for one in of("own")] == [4, 4, None, None]
    assert [one.options.get("lr") for one in of("own")] == [0.3, 0.3, None, None]
    assert {one.row for one in of("free")} == {"dm LFS"}
    sized = at_size(suite(methods=methods, sizes=sizes), "own")
    assert not sized.full
    told = " | ".join(sized.shrinks)
    assert "updates of every slimmed set: 4" in told and "slimming, lr: 0.3" in told
    assert "ways of slimming" not in told
    assert "ways of slimming: learning-free" in " | ".join(
        at_size(suite(methods=methods, sizes=sizes), "free").shrinks
    )


def test_the_smallest_size_slims_too() -> None:
    makings, _ = expand(smallest(suite()).suite)
    assert [(one.row, one.budget) for one in makings if one.method == "DM"] == [
        ("DM", "ipc 1"),
        ("DM", "ipc 2"),
        ("DM LBS", "ipc 1"),
        ("DM LFS", "ipc 1"),
    ]
    assert [one.options["iterations"] for one in slimmed(makings) if one.learns] == [1]


class Several(Executor):
    """Takes several tasks at once, and ends them as it is told to, in turn."""

    def __init__(self, jobs: int, folder: Folder, failing: str = "") -> None:
        self.jobs, self.folder, self.failing = jobs, folder, failing
        self.running: list[Task] = []
        self.began: list[str] = []
        self.over: list[str] = []

    def free(self) -> bool:
        return len(self.running) < self.jobs

    def share(self, value: Any) -> Any:
        return value

    def submit(self, task: Task) -> None:
        work = task.arguments[0].work
        if isinstance(work, Slimming):
            assert work.before.key in self.over, "begun before what it is made from"
        self.running.append(task)
        self.began.append(work.key)

    def wait(self, seconds: float) -> list[Ended]:
        key = self.running.pop(0).key
        self.over.append(key)
        if key == self.failing:
            return [Ended(key, failure="broke", status=1)]
        return [Ended(key, Outcome(key, "done", 0.0))]

    def stop(self) -> None:
        raise AssertionError("nothing asks it to stop")

    def close(self) -> None:
        pass


@pytest.mark.parametrize("jobs", [1, 2, 5, 50])
def test_no_set_is_begun_before_the_one_that_it_is_made_from(jobs: int, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    makings, _ = expand(suite(seeds=2, methods=["dm", "random"]))
    executor = Several(jobs, folder)
    progress = Runner(folder, makings, []).run(executor, Stop())
    assert progress.done == progress.total == len(executor.began) == 20
    # whatever can be begun is begun
    assert len(set(executor.began)) == 20


def test_the_failure_of_a_set_is_that_of_all_made_from_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    makings, measurings = expand(suite())
    failing = "digits/DM-LBS/ipc-2/seed-0"
    runner = Runner(folder, makings, measurings)
    told: list[str] = []
    runner.told = lambda progress, work, outcome: told.append(f"{outcome.status} {work.key}")
    progress = runner.run(Several(2, folder, failing), Stop())
    assert list(progress.failures) == LBS and progress.failures[failing] == "broke"
    assert progress.failures[LBS[1]] == (
        "not tried: it is made from digits, DM LBS, ipc 2, seed 0, which failed"
    )
    assert progress.total - progress.done == 4
    assert [one for one in told if one.startswith("failed")] == [f"failed {key}" for key in LBS]
    assert "not tried" in (tmp_path / "logs" / f"{LBS[1]}.log").read_text(encoding="utf-8")


def test_a_condensation_that_fails_is_told_at_every_slimmed_cell(tmp_path: Path) -> None:
    methods = [{"method": "dm", "name": "DM", "lr": 1e38}]
    outcomes, progress, account = done(tmp_path, write(tmp_path, methods=methods))
    assert set(outcomes.values()) == {"failed"} and progress.done == 0
    assert "diverged" in progress.failures["digits/DM/ipc-3/seed-0"]
    for key in (*LBS, *LFS):
        assert progress.failures[key].startswith("not tried: it is made from digits, DM")
    for row in rows_in(tmp_path):
        assert row["status"] == "failed" and not row["gap"]
        assert (tmp_path / "out" / row["log"]).exists()
    (table,) = account.tables
    assert rows_of(table)[1] == ["DM, LBS", "failed", "–", "failed"]
    assert rows_of(table)[2] == ["DM, gap RT − LBS", "–", "–", "–"]
    # the same command goes on
    outcomes, progress, _ = done(tmp_path, write(tmp_path, methods=BASE["methods"][1:]))
    assert progress.done == progress.total == 14


def test_slimmed_sets_are_what_slimming_makes(finished: Path) -> None:
    sets = finished / "out" / "sets"
    largest = sets / "digits" / "DM" / "ipc-3" / "seed-0.safetensors"
    learned = attar.slim(largest, [2, 1], method="dm", iterations=3, network=NETWORK)
    drawn = attar.slim(largest, [2, 1], random=True)
    assert isinstance(learned, list) and isinstance(drawn, list)
    for keys, wanted in ((LBS, learned), (LFS, drawn)):
        for key, one in zip(keys, wanted, strict=True):
            made = attar.load(sets / f"{key}.safetensors")
            assert made.images.equal(one.images) and made.labels.equal(one.labels)
            assert made.header.provenance["slimmed"]["images_per_class"] == len(one.images) // 2 + 1


def test_what_is_done_is_not_done_again(finished: Path) -> None:
    outcomes, progress, _ = done(finished, write(finished))
    assert not outcomes and progress.kept == progress.total == 20


def test_only_what_a_change_bears_on_is_made_again(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "out", tmp_path / "out")
    outcomes, _, _ = done(tmp_path, write(tmp_path, slimming={"iterations": 4}))
    assert sets_among(outcomes) == LBS and len(outcomes) == 4
    # a set in the middle that is replaced: those made from it, and no other
    middle = tmp_path / "out" / "sets" / f"{LFS[0]}.safetensors"
    shutil.copy(tmp_path / "out" / "sets" / f"{LBS[0]}.safetensors", middle)
    outcomes, _, _ = done(tmp_path, write(tmp_path, slimming={"iterations": 4}))
    assert sets_among(outcomes) == LFS[1:]
    assert [key for key in outcomes if key.startswith(LFS[0])] == [f"{LFS[0]}/{slug(NETWORK)}"]
    # the first set of all changes: everything that comes from it
    methods = ["random", {"method": "dm", "name": "DM", "lr": 0.5}]
    path = write(tmp_path, slimming={"iterations": 4}, methods=methods)
    outcomes, _, _ = done(tmp_path, path)
    assert set(sets_among(outcomes)) >= {*LBS, *LFS} and len(sets_among(outcomes)) == 7


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize(("set_", "last"), [(LBS[0], 2), (LBS[1], 3)])
def test_a_suite_killed_in_a_chain_goes_on_to_the_same_result(
    set_: str, last: int, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished / "out", tmp_path / "out")
    sets = tmp_path / "out" / "sets"
    chain = LBS[LBS.index(set_) :]
    for key in chain:
        (sets / f"{key}.safetensors").unlink()
        (sets / f"{key}.made.json").unlink()
    real = working.slimming.carry_out

    def carry_out(source: Any, request: Any, callback: Any) -> Any:
        class Ending(working._Lines):
            def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
                if step == last and Path(request.output) == sets / f"{set_}.safetensors":
                    raise Killed

        return real(source, request, lambda size: Ending())

    path = write(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(working.slimming, "carry_out", carry_out)
        with pytest.raises(Killed):
            done(tmp_path, path, checkpoint_seconds=0.0)
    output = sets / f"{set_}.safetensors"
    assert Paths(output).checkpoint.exists() and not output.exists()
    outcomes, progress, _ = done(tmp_path, path)
    assert sets_among(outcomes) == chain and progress.done == 20
    log = (tmp_path / "out" / "logs" / f"{set_}.log").read_text(encoding="utf-8")
    assert f"from step {last - 1}" in log
    for key in LBS:
        same = finished / "out" / "sets" / f"{key}.safetensors"
        assert (sets / f"{key}.safetensors").read_bytes() == same.read_bytes()
    for name in ("accuracies", "gap"):
        assert [row[name] for row in rows_in(tmp_path)] == [row[name] for row in rows_in(finished)]


def test_a_slimming_reads_no_data(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*words: Any, **more: Any) -> Any:
        raise AssertionError("the real data were opened")

    monkeypatch.setattr(working, "carry_out", opened)
    monkeypatch.setattr("attar.data.sources.load_source", opened)
    monkeypatch.setattr("attar.data.given.load_source", opened)
    folder = Folder(finished / "again")
    makings, _ = expand(suite())
    shutil.copytree(finished / "out" / "sets" / "digits" / "DM", folder.root / "sets/digits/DM")
    for one in slimmed(makings):
        assert working.perform(Order(one, folder.root)).status == "done"
        assert folder.is_made(one)


def test_the_gap_is_the_difference_to_a_set_condensed_anew(finished: Path) -> None:
    rows = {(row["method"], row["variant"], row["budget"]): row for row in rows_in(finished)}
    assert {(method, variant) for method, variant, _ in rows} == {
        ("random", ""),
        ("DM", "RT"),
        ("DM", "LBS"),
        ("DM", "LFS"),
    }
    for (method, variant, budget), row in rows.items():
        if variant in WAYS:
            anew = float(rows[method, "RT", budget]["mean"])
            assert float(row["gap"]) == pytest.approx(anew - float(row["mean"]), abs=1e-12)
        else:
            assert row["gap"] == ""
    text = (finished / "out" / "results.md").read_text(encoding="utf-8")
    heads = ["random", "DM, RT", "DM, LBS", "DM, gap RT − LBS", "DM, LFS"]
    table = text[text.index("| method |") :].splitlines()[2:7]
    assert [line.split(" | ")[0].removeprefix("| ") for line in table] == heads
    gap = f"{float(rows['DM', 'LBS', 'ipc 1']['gap']):.2f}".replace("-", "−")
    assert table[3].split(" | ")[1] == gap and table[3].split(" | ")[2] == "–"
    assert "LBS: slimmed by learning" in text
    assert "gap" not in text[text.index("## What the sets hold") :]
    page = (finished / "out" / "results.html").read_text(encoding="utf-8")
    assert all(head in page for head in heads)


def test_without_learning_the_gap_is_that_of_the_sets_slimmed_without(tmp_path: Path) -> None:
    given = suite(slimming=["learning-free"])
    cells = gather(given, Folder(tmp_path), *expand(given), {})
    (table,) = tables(cells, True)
    assert [row[0] for row in rows_of(table)] == [
        "random",
        "DM, RT",
        "DM, LFS",
        "DM, gap RT − LFS",
    ]


def test_published_figures_stand_beside_each_way_and_the_gap(tmp_path: Path) -> None:
    methods = ["dm", "frepo", {"method": "slimmable", "name": "ours"}]
    skip = [
        {"method": "dm", "network": "frepo3:norm=none"},
        {"method": ["frepo", "ours"], "network": "convnet3"},
    ]
    given = suite(
        table="slimmable/1",
        datasets=["cifar10"],
        methods=methods,
        networks=["convnet3", "frepo3:norm=none"],
        budgets=[50, 20, 1],
        options={"validation": 0},
        skip=skip,
    )
    cells = gather(given, Folder(tmp_path), *expand(given), {})
    by_row = {(cell.row, cell.budget): cell for cell in cells}
    anew, learned, free = (
        by_row[f"ours, {way}", "ipc 1"].published[0].mean for way in ("RT", "LBS", "LFS")
    )
    assert (anew, learned, free) == (43.56, 47.77, 33.09)
    assert by_row["ours, LBS", "ipc 1"].published_gap == -4.21
    assert by_row["dm, LBS", "ipc 20"].published_gap == -1.06
    assert by_row["frepo, LFS", "ipc 20"].published[0].mean == 59.14
    # what was printed is what the paper's own row of gaps says
    frepo = published("cifar10", "frepo:slimmed by learning", 1, "frepo3:norm=none")[0]
    assert by_row["frepo, LBS", "ipc 1"].published_gap == round(43.24 - frepo.mean, 2) == 32.23
    of_frepo = next(one for one in tables(cells, True) if one.network == "frepo3:norm=none")
    rows = {row[0]: row[1:] for row in rows_of(of_frepo)}
    assert rows["ours, gap RT − LBS"][-1] == "−4.21"


def test_nothing_was_printed_of_other_slimmers_and_of_variants(tmp_path: Path) -> None:
    methods: list[Any] = [
        {"method": "dm", "name": "matched", "slim": {"method": "slimmable"}},
        {"method": "dm", "name": "narrow", "published": "dm:other"},
    ]
    given = suite(
        datasets=["cifar10"], methods=methods, budgets=[10, 1], networks=["convnet3"], options={}
    )
    cells = gather(given, Folder(tmp_path), *expand(given), {})
    printed = {(one.row, one.budget) for one in cells if one.published}
    assert printed == {
        ("matched, RT", "ipc 10"),
        ("matched, RT", "ipc 1"),
        ("matched, LFS", "ipc 1"),
    }


def test_there_is_no_gap_between_unlike_cards() -> None:
    anew = Cell("d", "m", "RT", "ipc 1", "n", "dsa-1000", (50.0,), 1, 1)
    slim = dataclasses.replace(anew, variant="LBS", accuracies=(40.0,))
    other = dataclasses.replace(slim, variant="LFS", card="frepo")
    assert [cell.gap for cell in with_gaps([anew, slim, other])] == [None, 10.0, None]


def test_a_set_that_is_gone_in_the_midst_fails_alone(finished: Path, tmp_path: Path) -> None:
    (one, *_) = slimmed(expand(suite())[0])
    outcome = working.perform(Order(one, tmp_path))
    assert outcome.status == "failed" and "seed-0.safetensors" in outcome.message


def test_a_slimming_that_fails_costs_what_is_made_from_it_alone(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def carry_out(*words: Any) -> Any:
        raise RunFailed("the disk is full")

    shutil.copytree(finished / "out", tmp_path / "out")
    for key in LBS:
        (tmp_path / "out" / "sets" / f"{key}.safetensors").unlink()
    monkeypatch.setattr(working.slimming, "carry_out", carry_out)
    _, progress, _ = done(tmp_path, write(tmp_path))
    assert list(progress.failures) == LBS and progress.failures[LBS[0]] == "the disk is full"
    assert progress.done == 16
