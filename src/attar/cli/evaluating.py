"""`attar evaluate`: its options, what it asks of the library, and what it tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.markup import escape

from attar import threads
from attar.cli import reporting
from attar.cli.clock import CLOCK
from attar.cli.console import PLAIN, err, print_json, watcher
from attar.cli.lists import split_networks
from attar.cli.reading import Columns, InMemory, reading_options
from attar.cli.tables import print_rows
from attar.evaluation.telling import EvaluationCallback
from attar.files import check_writable
from attar.options import Background, Classes, File, Folder, Name, Number, ValueRange, Whole, option

if TYPE_CHECKING:
    from rich.status import Status


@dataclass(frozen=True)
class Evaluate(Columns):
    """Train fresh networks on an artefact and test them on real images."""

    artefact: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT.safetensors")]
    """The .safetensors file."""
    ipc: Whole = None
    """Evaluate the smaller set of this many full images' memory per class that is read out of
    the file, where its components are ordered by significance or its images nested."""
    data: Annotated[str | None, option("SOURCE")] = None
    """Source of the real images; the one it was made from where left out."""
    networks: Annotated[str, option("NAMES")] = ""
    """Names with commas between, such as convnet3,resnet18,vgg11:norm=batch; by default the
    network it was made with. 'attar networks' lists them."""
    repeats: int = 5
    """Networks of each kind."""
    card: Name = None
    """Evaluation card: dc-300, dsa-1000, mtt, idc, haba, rtp, frepo, …; the artefact's own where
    left out. 'attar cards' says what each fixes."""
    epochs: Whole = None
    """Another number of epochs than the card's. A set with more images gets more updates for it;
    --updates gives all the same."""
    updates: Whole = None
    """Train every row for this number of updates, in place of epochs."""
    baselines: Annotated[str | None, option("[NAMES]")] = None
    """Also evaluate real images of the same bytes, drawn at random or selected, and the whole
    training set: names with commas between from random, herding, forgetting, kcenter, coded (in a
    picture codec, as many as fit), whole. Without names: random,whole."""
    ceiling: bool = False
    """Also train on the whole training set, and say which share of its accuracy each row
    reaches. Measured once, then kept in the data folder."""
    ceiling_epochs: Whole = None
    """Epochs on the whole training set; left out: about as many updates as on a small set, in
    20 epochs or more."""
    scores: bool = False
    """Also give the label-robust and the augmentation-robust score of DD-Ranking. They need the
    random and the whole row, and training with and without augmentation."""
    tune: bool = False
    """First look for the learning rate and the number of epochs around the card's, on held-out
    training images and never on test images. Says beforehand what it costs."""
    report: File = None
    """Also write an HTML report here."""
    seed: int = 0
    """Of the networks, not of the artefact."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the networks."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the networks; auto: where it pays."""
    threads: Whole = None
    """CPU threads; left out: one for every core that is free, or as OMP_NUM_THREADS says."""
    teacher: Name = None
    """A trained network that labels every batch as it is augmented and mixed, under a card such as
    rded, in rows of their own, with its bytes counted: OUT.teacher.safetensors, a folder of 'attar
    experts', or ARCH:FILE, as 'attar condense' takes it."""
    label_epochs: Whole = None
    """Store the teacher's labels of so many epochs in its place, with the key of their crops; later
    epochs of a student take one of these at random."""
    label_share: Number = None
    """Of the batches of these epochs, keep the labels of so large a share, drawn at random, and
    train on these batches alone; left out: of all."""
    label_storage: Name = None
    """How these are stored: float16, or top:keep=5 for the five largest scores of each label;
    float16 where left out."""
    labels: File = None
    """A file of such labels, usually OUT.labels.safetensors. Where it is there, the set is trained
    on with these and needs no teacher; where not, the labels that --label-epochs asks for are kept
    in it."""
    vectorized: Whole = None
    """Networks that train in one step; left out: what is faster on the device."""
    data_dir: Folder = None
    """Where named data sets and decoded images lie (else $ATTAR_DATA or ~/.cache/attar)."""
    in_memory: InMemory = "auto"
    """Whether all real images are held in memory, as 'attar condense' takes it."""
    resize: Whole = None
    """Bring all real images to this height and width in pixels."""
    classes: Classes = None
    """Take these classes of the real images, as 'attar condense' does. Where this and --data
    are left out: those of the artefact."""
    per_class: Whole = None
    """Take at most this many training images of a class, for --baselines. Where this and
    --data are left out: as the artefact did."""
    value_range: ValueRange = None
    """The values of the real images that are black and white, as 'attar condense' takes them.
    Where this and --data are left out: as the artefact did."""
    background: Background = None
    """The colour behind transparent pictures. Where this and --data are left out: as the artefact
    did."""
    test_share: Number = None
    """Share of every class of --data to hold out as test, where it has no test part. Left out:
    as the artefact did; where that was condensed from all its images, all of --data is tested."""
    json: bool = False
    """Print one JSON object with every accuracy."""

    def run(self) -> None:
        """Carry it out."""
        evaluate(self)


def evaluate(options: Evaluate) -> None:
    """Run `attar evaluate`."""
    if options.report is not None:
        check_writable(options.report, "--report", "report.html")
    err.print(f"attar evaluate: reading {options.artefact}", **PLAIN)
    chosen = threads.use(options.threads)
    if chosen.why:
        err.print(f"compute: {chosen}", highlight=False, soft_wrap=True)
    from attar.artefact.loading import ipc_of_part, load
    from attar.evaluation.comparison import evaluate as measure
    from attar.evaluation.record import digest

    ipc = ipc_of_part(options.artefact, options.ipc)
    artefact = load(options.artefact, ipc)
    sha256 = digest(options.artefact, ipc)
    networks = [name for name in split_networks(options.networks) if name]
    with err.status("reading the data") as status:
        rows = measure(
            options.artefact,
            options.data,
            ipc=ipc,
            networks=networks or None,
            repeats=options.repeats,
            card=options.card,
            epochs=options.epochs,
            updates=options.updates,
            baselines=False if options.baselines is None else options.baselines,
            ceiling=options.ceiling,
            ceiling_epochs=options.ceiling_epochs,
            scores=options.scores,
            tune=options.tune,
            seed=options.seed,
            device=options.device,
            precision=options.precision,
            torch_compile=options.compile,
            vectorized=options.vectorized,
            teacher=options.teacher,
            label_epochs=options.label_epochs,
            label_share=options.label_share,
            label_storage=options.label_storage,
            labels=options.labels,
            callback=Lines(status, options.repeats),
            **reading_options(options),
        )
    data = options.data or str(artefact.header.provenance.get("source"))
    evaluation = reporting.keep(options.artefact, sha256, data, rows, ipc)
    if options.report is not None:
        reporting.write_one(options.report, options.artefact, artefact, rows)
    if options.json:
        own = {} if ipc is None else {"ipc": ipc}
        path = str(options.artefact)
        names = {"class_names": artefact.header.class_names}
        print_json({"path": path, "sha256": sha256, **own, **names, **evaluation.as_dict()})
    else:
        print_rows(rows, artefact.header.class_names)


class Accuracies(EvaluationCallback):
    """Shows the network in training, and prints the accuracy of each."""

    def __init__(self, status: Status, repeats: int) -> None:
        self._status = status
        self._repeats = repeats

    def trained(self, row: str, network: str, repeat: int, accuracy: float | None) -> None:
        """Show which network is in training, or print its accuracy."""
        what = f"{row}: {network}, {repeat} of {self._repeats}"
        if accuracy is None:
            self._status.update(escape(what))
        else:
            err.print(f"{what}: {accuracy:.2f} %", highlight=False, soft_wrap=True)


class Lines(Accuracies):
    """Also tells how far the reading is, what is tested on, and how long it will take."""

    _foretold = False

    def reading(self, what: str, done: int, total: int) -> None:
        """Show how far the reading is."""
        watcher(self._status)(what, done, total)

    def said(self, line: str) -> None:
        """Print a line."""
        err.print(line, highlight=False, soft_wrap=True)

    def expected(self, seconds: float) -> None:
        """Print how long it will take, and then how long the rest will."""
        from attar.text import duration

        line = f"about {duration(seconds)} left"
        if not self._foretold:
            line = f"estimate: about {duration(CLOCK.seconds() + seconds)} in all"
        self._foretold = True
        self.said(line)
