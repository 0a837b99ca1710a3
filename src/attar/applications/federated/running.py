"""`attar.federated`: clients send condensed sets; a server merges what arrived and trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from attar import threads
from attar.applications.continual.checking import usual_slimming
from attar.applications.continual.request import Condensing
from attar.applications.federated.asking import Courier
from attar.applications.federated.checking import check
from attar.applications.federated.client import Client, Local
from attar.applications.federated.contending import Contender, contenders
from attar.applications.federated.dividing import Parting, parted
from attar.applications.federated.keywords import FederatedOptions
from attar.applications.federated.page import write_html
from attar.applications.federated.request import FederatedRequest
from attar.applications.federated.results import FederatedResult, Round
from attar.applications.federated.rounds import hold
from attar.applications.federated.serving import Server
from attar.applications.federated.telling import FederatedCallback
from attar.applications.folders import RESULTS, begin, run_folder
from attar.data import Splits, as_splits, bearing
from attar.data.identity import digest_of
from attar.data.rows import in_memory
from attar.options import request_and_reading, request_of
from attar.renaming import keywords
from attar.text import counted, printable
from attar.wording import KEYWORDS

PAGE = "federated.html"
_WRITTEN = ("clients/client-*/*", "*/round-*.json", "*/round-*/client-*.safetensors")


@keywords(slim_set="slim_settings", **KEYWORDS)
def federated(
    data: Any,
    clients: int,
    bandwidth: str | int,
    *,
    callback: FederatedCallback | None = None,
    **options: Unpack[FederatedOptions],
) -> FederatedResult:
    """Let clients condense what they have, send it through a thin line, and train on what arrives.

    In round k the first k clients take part. Each condenses its images once, to the whole
    bandwidth, and sends that first set slimmed to its share. New networks are trained on what
    arrived, and tested on its classes.

    Args:
        data: as `attar.condense` takes it, with a test part.
        clients: how many there are, at most as many as classes unless ``dirichlet`` is given.
        bandwidth: of all clients of a round together: ``500`` full float32 images, or ``1.5MB``,
            as the papers count.
        callback: told how it goes; silent by default.
        **options: the fields of `attar.applications.federated.request.FederatedRequest`, such as
            ``baselines="fedavg,random,coded"``, ``dirichlet=0.5`` or ``output``, a folder whose
            run is gone on with (without one, nothing is kept); those of `attar.condense` that say
            how classes are condensed; and those of reading the data.

    Returns:
        Accuracies, bytes and refusals, round by round.

    Raises:
        BadRequest: something about the request or the data; nothing was started.
        RunFailed: a run was interrupted, or a file could not be written.

    Example:
        >>> attar.federated("digits", 5, 20, method="random").rounds[-1].mean  # doctest: +SKIP
        78.3
    """
    given: dict[str, Any] = {**options}
    own = FederatedRequest.__dataclass_fields__
    mine = {name: given.pop(name) for name in list(given) if name in own}
    mine |= {"clients": clients, "bandwidth": str(bandwidth)}
    condensing, reading = request_and_reading(Condensing, given)
    request = request_of(FederatedRequest, mine)
    return carry_out(request, condensing, data, callback or FederatedCallback(), **reading)


def carry_out(
    request: FederatedRequest,
    condensing: Condensing,
    data: Any,
    callback: FederatedCallback,
    line: Callable[[Mapping[int, Client]], Courier] | None = None,
    **reading: Any,
) -> FederatedResult:
    """Do what `federated` does, from requests.

    Args:
        request: the options.
        condensing: how clients condense.
        data: as `federated` takes it.
        callback: told how it goes.
        line: from clients to what carries their messages; None for what the request says.
        **reading: how the data are read.
    """
    _ = condensing.chosen
    with threads.using(condensing.threads), run_folder(request.output, "federated") as folder:
        prepared = prepare(request, condensing, data, callback, reading)
        for told in _told(prepared):
            callback.said(told)
        clients = {n: prepared.client(n, folder) for n in range(1, request.clients + 1)}
        if line is not None:
            return serve(prepared, folder, line(clients))
        return serve(prepared, folder, Local(clients, request.timeout, callback))


@dataclass(frozen=True)
class Prepared:
    """A run that can begin.

    Args:
        request: the options.
        contenders: the method, then its baselines.
        splits: the data of all.
        parting: what each client has.
        card: by which all networks are trained.
        network: of averaged weights, by name.
        reading: how the data were read.
        callback: told how it goes.
    """

    request: FederatedRequest
    contenders: tuple[Contender, ...]
    splits: Splits
    parting: Parting
    card: str
    network: str
    reading: Mapping[str, Any]
    callback: FederatedCallback

    def client(self, number: int, folder: Path) -> Client:
        """Return a client, counted from 1, which writes below a folder."""
        return Client(
            number,
            {one.name: one for one in self.contenders},
            self.parting.of(number),
            self.reading,
            folder / "clients" / f"client-{number}",
            self.callback,
        )

    @property
    def command(self) -> str:
        """The command line that asks for the same."""
        reading = bearing(self.reading)
        return self.request.command(self.splits.source, self.contenders[0].condensing, **reading)


def prepare(
    request: FederatedRequest,
    condensing: Condensing,
    data: Any,
    callback: FederatedCallback,
    reading: Mapping[str, Any],
) -> Prepared:
    """Read the data, share them out, and refuse what could not be carried out.

    Raises:
        BadRequest: something about the request or the data.
    """
    splits = as_splits(
        data,
        zca=condensing.zca or (lambda name: condensing.chosen.zca(name, 1)),
        watch=callback.reading,
        **reading,
    )
    parting = parted(splits, request, condensing.seed)
    fighting = contenders(request, condensing)
    card, network = check(request, fighting, parting, reading)
    return Prepared(request, fighting, splits, parting, card, network, reading, callback)


def serve(prepared: Prepared, folder: Path, courier: Courier) -> FederatedResult:
    """Hold all rounds, or what is left of them.

    Raises:
        BadRequest: another run is in the folder.
    """
    assert prepared.splits.test is not None
    _begin(prepared, folder)
    server = Server(
        prepared.request,
        prepared.parting,
        prepared.splits.test,
        prepared.card,
        prepared.network,
        folder,
        courier,
        prepared.callback,
    )
    rounds: list[Round] = []
    for contender in prepared.contenders:
        for participants in range(1, prepared.request.clients + 1):
            rounds.append(hold(server, contender, participants))
            # as far as it is, for whoever looks meanwhile
            result = _result(prepared, rounds)
            result.save(folder / RESULTS)
            write_html(folder / PAGE, result)
            prepared.callback.measured(rounds[-1])
    return _result(prepared, rounds)


def _begin(prepared: Prepared, folder: Path) -> None:
    """Refuse a folder of another run, or note in it what is asked for."""
    train = prepared.splits.train
    images = digest_of(train) if in_memory(train.images) else len(train)
    request = prepared.request
    # the folder may have moved
    command = prepared.command.rpartition(" -o ")[0]
    asked = {"command": command, "images": images}
    begin(folder, asked, _WRITTEN, overwrite=request.overwrite)


def _told(prepared: Prepared) -> Iterator[str]:
    request, parting, shape = prepared.request, prepared.parting, prepared.splits.train.shape
    for note in (prepared.splits.note, parting.note):
        if note:
            yield note
    for client, names in enumerate(parting.classes, start=1):
        listed = ", ".join(map(printable, names))
        own = counted(len(parting.of(client).train), "image")
        yield f"client {client}: {own} of {counted(len(names), 'class')} ({listed})"
    shares = [request.shared.share(k, shape, request.rounding) for k in _upto(request.clients)]
    each = [_each(parting, share, k, request.rounding) for k, share in enumerate(shares, start=1)]
    how = usual_slimming(request, prepared.contenders[0].condensing)
    yield (
        f"bandwidth of {request.shared}: {' → '.join(each)} images of each class, slimmed by {how}"
    )
    yield f"networks of all rounds are trained by the card {prepared.card}"


def _each(parting: Parting, share: int, clients: int, rounding: Any) -> str:
    found = sorted({parting.per_class(one, share, rounding) for one in _upto(clients)})
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _upto(clients: int) -> Sequence[int]:
    return range(1, clients + 1)


def _result(prepared: Prepared, rounds: Sequence[Round]) -> FederatedResult:
    request = prepared.request
    return FederatedResult(
        f"{prepared.contenders[0].name} on {prepared.splits.source}, {request.shared}",
        prepared.command,
        request.clients,
        request.shared.limit(prepared.splits.train.shape),
        tuple(rounds),
    )
