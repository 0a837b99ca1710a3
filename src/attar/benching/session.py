"""A whole suite: everything between its file and its tables."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import attar
from attar import threads
from attar.benching.cells import Making, Measuring, Work, expand
from attar.benching.checking import check_against_data, check_names, with_sources
from attar.benching.folder import Folder
from attar.benching.making import absolute_source
from attar.benching.notes import read_json, write_json
from attar.benching.pages import Account, write_html, write_markdown
from attar.benching.pricing import Price, Prices
from attar.benching.results import gather, write_csv
from attar.benching.running import Progress, Runner, Stop
from attar.benching.sizes import SMALLEST, Sized, at_size, smallest
from attar.benching.suite_file import read_suite
from attar.benching.work import Outcome
from attar.errors import BadRequest
from attar.parallel import Executor, Here, Processes, visible_devices
from attar.text import command_line, counted
from attar.threads import cores

# the suite as it was run, in its folder
SUITE_NOTE = "suite.json"
# how often the tables are written while the suite goes on
_TABLES_SECONDS = 20.0


@dataclass(frozen=True)
class Asked:
    """What is asked of a suite.

    Args:
        path: of the YAML file.
        output: folder; None for ``attar-bench/NAME-SIZE``.
        size: one of the suite's; None for ``laptop`` where there is one, else its first.
        smallest: everything at its shortest on digits, to try the suite out.
        jobs: pieces of work at once; 0 does them in this process, None takes one for every GPU,
            or for every core where there is none.
        ray: address of a Ray cluster that does the work; None for this machine.
        data: texts ``NAME=SOURCE`` for datasets that lie elsewhere.
        data_dir: where named datasets lie; None for the default.
        max_minutes: stop after so many minutes; None for no such end.
        checkpoint_seconds: the longest time between two checkpoints of a set.
    """

    path: Path
    output: Path | None = None
    size: str | None = None
    smallest: bool = False
    jobs: int | None = None
    ray: str | None = None
    data: tuple[str, ...] = ()
    data_dir: Path | None = None
    max_minutes: float | None = None
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 0:
            raise BadRequest(f"--jobs {self.jobs}: 0 for this process alone, or 1 and more")
        if self.jobs == 0 and self.ray is not None:
            raise BadRequest("--jobs 0 works in this process; leave it out with --ray")
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise BadRequest(f"--max-minutes {self.max_minutes:g}: more than 0 is needed")
        if self.smallest and self.size is not None:
            raise BadRequest("give --size or --smallest, not both")
        if self.smallest and self.data:
            raise BadRequest("--smallest takes digits in place of every dataset; leave out --data")

    def sized(self) -> Sized:
        """Return the suite at the size asked for, with the sources given."""
        suite = read_suite(self.path)
        sized = smallest(suite) if self.smallest else at_size(suite, self.size)
        found = with_sources(sized.suite, self.data)
        if self.ray is not None:
            # tasks of a cluster run in folders of their own
            given = found.datasets.items()
            found = with_sources(found, [f"{k}={absolute_source(v.source)}" for k, v in given])
        return Sized(found, sized.size, sized.shrinks, sized.full)

    @property
    def command(self) -> str:
        """What asks for the same again."""
        names = ("size", "smallest", "data", "data_dir")
        options = {name: getattr(self, name) for name in names}
        return command_line(["attar", "bench", self.path], options, self.output)


class BenchCallback:
    """Told how a suite goes; this one keeps silent."""

    def began(self, sized: Sized, folder: Path, progress: Progress, jobs: str) -> None:
        """Before the first piece of work of this run."""

    def checking(self) -> None:
        """Before data are read, to refuse what does not fit."""

    def priced(self, price: Price, jobs: int) -> None:
        """Before the first piece of work: what all of it takes, and how many go on at once."""

    def ended(self, progress: Progress, work: Work, outcome: Outcome, log: Path) -> None:
        """After each piece of work."""


def bench(asked: Asked, callback: BenchCallback | None = None) -> tuple[Account, Progress]:
    """Run a suite, or what is left of it, and write its tables.

    Args:
        asked: the suite and how to run it.
        callback: told how it goes; silent by default.

    Returns:
        What came of it, and how far it is. Work that failed is in both.

    Raises:
        BadRequest: anything about the suite or its data; nothing was started.
        RunFailed: the tables could not be written.
    """
    callback = callback or BenchCallback()
    sized = asked.sized()
    check_names(sized.suite)
    makings, measurings = expand(sized.suite)
    name = "-".join(filter(None, (sized.suite.name, sized.size)))
    folder = Folder((asked.output or Path("attar-bench") / name).expanduser().absolute())
    with folder.locked() as lock:
        _refuse_another(folder, sized)
        folder.clear_leftovers()
        stop = Stop(None if asked.max_minutes is None else 60 * asked.max_minutes)
        runner = Runner(
            folder,
            makings,
            measurings,
            data_dir=asked.data_dir and asked.data_dir.expanduser().absolute(),
            checkpoint_seconds=asked.checkpoint_seconds,
        )
        tables = _Tables(asked, sized, folder, makings, measurings)
        runner.told = _telling(callback, folder, tables)
        if runner.waiting:
            callback.checking()
            prices = _check(runner, makings, asked, sized)
            runner.names = prices.names
            _note_suite(folder, sized)
            if asked.ray is None:
                jobs = 1 if asked.jobs == 0 else _jobs(asked, len(runner.waiting))
                with threads.using(threads.share(jobs)):
                    callback.priced(prices.of(runner.waiting), jobs)
            _run(
                runner,
                asked,
                lock,
                stop,
                lambda jobs: callback.began(sized, folder.root, runner.progress, jobs),
            )
        return tables.write(runner.progress), runner.progress


def _check(runner: Runner, makings: list[Making], asked: Asked, sized: Sized) -> Prices:
    """Refuse what does not fit, looking at the datasets with work to be done."""
    needed = {
        (work if isinstance(work, Making) else work.making).dataset for work in runner.waiting
    }
    prices = Prices()
    check_against_data(
        [making for making in makings if making.dataset in needed],
        [work for work in runner.waiting if isinstance(work, Measuring)],
        asked.data_dir,
        by_name=sized.size != SMALLEST,
        prices=prices,
    )
    return prices


def _jobs(asked: Asked, waiting: int) -> int:
    return min(asked.jobs or torch.cuda.device_count() or cores(), waiting)


def _run(
    runner: Runner,
    asked: Asked,
    lock: int | None,
    stop: Stop,
    began: Callable[[str], None],
) -> None:
    executor, words = _executor(asked, lock, len(runner.waiting))
    began(words)
    try:
        with stop.listening(in_process=isinstance(executor, Here)):
            runner.run(executor, stop)
    finally:
        executor.close()


def _executor(asked: Asked, lock: int | None, waiting: int) -> tuple[Executor, str]:
    """Return what does the work, and in words what that is."""
    if asked.ray is not None:
        from attar.parallel.cluster import Cluster

        return Cluster(asked.ray, asked.jobs), f"on the Ray cluster {asked.ray}"
    if asked.jobs == 0:
        return Here(), "in this process"
    jobs = _jobs(asked, waiting)
    executor = Processes(jobs, lock=lock, devices=visible_devices())
    return executor, f"in {counted(jobs, 'process')}"


def _telling(
    callback: BenchCallback, folder: Folder, tables: _Tables
) -> Callable[[Progress, Work, Outcome], None]:
    def told(progress: Progress, work: Work, outcome: Outcome) -> None:
        callback.ended(progress, work, outcome, folder.log_path(work))
        tables.write_now_and_then(progress)

    return told


@dataclass
class _Tables:
    """Writes the tables of a suite."""

    asked: Asked
    sized: Sized
    folder: Folder
    makings: list[Making]
    measurings: list[Measuring]
    written: float = 0.0

    def write_now_and_then(self, progress: Progress) -> None:
        """Write the tables, where that was not just done."""
        if time.monotonic() - self.written >= _TABLES_SECONDS:
            self.write(progress)

    def write(self, progress: Progress) -> Account:
        """Write CSV, Markdown and HTML."""
        root = self.folder.root
        cells = gather(
            self.sized.suite, self.folder, self.makings, self.measurings, progress.failures
        )
        account = Account(
            self.sized,
            cells,
            self.asked.command,
            machine(),
            progress.done,
            progress.total,
            progress.stopped,
            root,
        )
        write_csv(root / "results.csv", cells, root)
        write_markdown(root / "results.md", account)
        write_html(root / "results.html", account)
        self.written = time.monotonic()
        return account


def _refuse_another(folder: Folder, sized: Sized) -> None:
    """Refuse a folder of another suite or size, whose sets would be replaced."""
    note = read_json(folder.root / SUITE_NOTE)
    there = note.get("suite") if note else None
    if note is None or not isinstance(there, dict):
        return
    held, asked = (there.get("name"), note.get("size")), (sized.suite.name, sized.size)
    if held != asked:
        words = [f"{name!r}" + (f" ({size})" if size else "") for name, size in (held, asked)]
        raise BadRequest(
            f"-o {folder.root}: holds suite {words[0]}, whose sets those of {words[1]} would "
            "replace; choose another folder"
        )


def _note_suite(folder: Folder, sized: Sized) -> None:
    """Keep the suite as it was run, with everything that its size changed."""
    told: dict[str, Any] = {
        "size": sized.size,
        "shrinks": list(sized.shrinks),
        "suite": sized.suite.model_dump(mode="json", exclude={"sizes"}),
    }
    write_json(folder.root / SUITE_NOTE, told)


def machine() -> str:
    """Return processor or GPU and versions, as figures are to be told with."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text(encoding="utf-8").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    place = f"{name}, {cores()} cores"
    if torch.cuda.is_available():
        place = f"{torch.cuda.device_count()} × {torch.cuda.get_device_name()}; {place}"
    return f"{place}; attar {attar.__version__}, torch {torch.__version__}"
