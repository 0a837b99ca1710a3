"""Messages over Flower: a ServerApp and a ClientApp.

Nothing is decided here: questions and answers of `asking` go through, each answer as one array of
uint8. Tried with flwr 1.42 (extra `flower`).
"""

# nothing here is called before `apps` has looked whether Flower is there
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import functools
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from attar import threads
from attar.applications.continual.request import Condensing
from attar.applications.federated.asking import Answer, Ask
from attar.applications.federated.client import FAILED, late
from attar.applications.federated.request import FederatedRequest
from attar.applications.federated.running import Prepared, carry_out, prepare
from attar.applications.federated.telling import FederatedCallback
from attar.errors import BadRequest, RunFailed
from attar.options import request_and_reading, request_of

# it tells others of a run unless it was asked not to
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
try:
    from flwr.app import (  # pyright: ignore[reportMissingImports]
        Array,
        ArrayRecord,
        ConfigRecord,
        Context,
        Message,
        RecordDict,
    )
    from flwr.clientapp import ClientApp  # pyright: ignore[reportMissingImports]
    from flwr.serverapp import Grid, ServerApp  # pyright: ignore[reportMissingImports]
except ImportError:
    _THERE = False
else:
    _THERE = True

_ASK, _DATA, _WHO = "ask", "data", "who"
# seconds between two looks at who is there, and before a node is asked once more who it is: a
# process that takes half a minute to begin loses what it was to answer (flwr 1.42)
_POLL, _AGAIN = 0.5, 45.0


class Line:
    """Carries questions over a grid; every wait has an end.

    Args:
        grid: of Flower.
        clients: how many are announced; the line waits for all of them before the first round.
        timeout: seconds of every wait.

    Raises:
        RunFailed: nobody is there in time.
    """

    def __init__(self, grid: Grid, clients: int, timeout: float) -> None:
        self._grid = grid
        self._timeout = timeout
        self._nodes = self._found(clients)

    def _found(self, clients: int) -> dict[int, int]:
        """Return the node of every client by its number, once all are there or time is up."""
        until = time.monotonic() + self._timeout
        nodes: dict[int, int] = {}
        while len(nodes) < clients and time.monotonic() < until:
            unknown = set(self._grid.get_node_ids()) - set(nodes.values())
            asked = [Message(RecordDict(), node, f"query.{_WHO}") for node in sorted(unknown)]
            left = min(_AGAIN, max(0.0, until - time.monotonic()))
            for reply in self._grid.send_and_receive(asked, timeout=left) if asked else ():
                number = _number(reply)
                # the first to claim a number has it
                if number is not None and number <= clients:
                    nodes.setdefault(number, reply.metadata.src_node_id)
            time.sleep(0 if len(nodes) == clients else _POLL)
        if not nodes:
            raise RunFailed(f"no client was there within {self._timeout:g} s")
        return nodes

    def send(self, asked: Mapping[int, Ask], payload: bytes = b"") -> Mapping[int, Answer]:
        """Return the answers; see `Courier`."""
        data = ArrayRecord({_DATA: Array(np.frombuffer(payload, np.uint8))})
        there = {self._nodes[client]: client for client in asked if client in self._nodes}
        messages = [
            Message(
                RecordDict({_ASK: ConfigRecord({_ASK: asked[client].text()}), _DATA: data}),
                node,
                f"query.{_ASK}",
            )
            for node, client in there.items()
        ]
        answers = {client: Answer(missing=late(self._timeout)) for client in asked}
        if messages:
            for reply in self._grid.send_and_receive(messages, timeout=self._timeout):
                client = there.get(reply.metadata.src_node_id)
                if client is not None:
                    answers[client] = _answer(reply)
        return answers


def _number(reply: Message) -> int | None:
    """Return the number that a client says it has."""
    if reply.has_error():
        return None
    record = reply.content.config_records.get(_WHO, {})
    number = record.get(_WHO)
    return number if type(number) is int and number >= 1 else None


def _answer(reply: Message) -> Answer:
    """Return what is in a reply, which is not trusted."""
    if reply.has_error():
        return Answer(missing=FAILED)
    record = reply.content.array_records.get(_DATA)
    if record is None or _DATA not in record:
        return Answer(missing="its reply holds no message")
    counted = record.count_bytes()
    try:
        array = record[_DATA].numpy()
    except (ValueError, TypeError, OSError, EOFError):
        return Answer(missing="its reply holds no array that can be read")
    if array.dtype != np.uint8 or array.ndim != 1:
        return Answer(missing="its reply is no array of uint8")
    return Answer(array.tobytes(), counted=counted)


@dataclass(frozen=True)
class _Run:
    """A run as it was asked for; that is all that goes to another process, which reads the data."""

    request: FederatedRequest
    condensing: Condensing
    data: Any
    reading: Mapping[str, Any]

    @functools.cached_property
    def _prepared(self) -> Prepared:
        return prepare(self.request, self.condensing, self.data, FederatedCallback(), self.reading)

    def __getstate__(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def answer(self, number: int, ask: Ask, payload: bytes) -> bytes:
        """Return the message of a client, counted from 1."""
        assert self.request.output is not None
        with threads.using(self.condensing.threads):
            return self._prepared.client(number, self.request.output).answer(ask, payload)

    def serve(self, grid: Grid) -> None:
        """Hold all rounds."""
        request = self.request
        carry_out(
            request,
            self.condensing,
            self.data,
            FederatedCallback(),
            lambda clients: Line(grid, request.clients, request.timeout),
            **self.reading,
        )


def _client_app(run: _Run) -> ClientApp:
    """Return a ClientApp; which client it is, the node says by its ``partition-id``, from 0."""
    app = ClientApp()

    def number(context: Context) -> int:
        return int(context.node_config["partition-id"]) + 1

    @app.query(_WHO)
    def who(message: Message, context: Context) -> Message:
        told = RecordDict({_WHO: ConfigRecord({_WHO: number(context)})})
        return Message(told, reply_to=message)

    @app.query(_ASK)
    def ask(message: Message, context: Context) -> Message:
        asked = Ask.read(str(message.content.config_records[_ASK][_ASK]))
        payload = message.content.array_records[_DATA][_DATA].numpy().tobytes()
        data = run.answer(number(context), asked, payload)
        told = ArrayRecord({_DATA: Array(np.frombuffer(data, np.uint8))})
        return Message(RecordDict({_DATA: told}), reply_to=message)

    # for what Flower calls, not for people
    del who, ask
    return app


def _server_app(run: _Run) -> ServerApp:
    """Return a ServerApp that holds all rounds."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        run.serve(grid)

    del main
    return app


def apps(
    data: Any, clients: int, bandwidth: str | int, output: str | Path, **options: Any
) -> tuple[ServerApp, ClientApp]:
    """Return a ServerApp and a ClientApp for processes of their own.

    Both sides read the same data; a client condenses the part of its node's ``partition-id``, and
    the server reads test images and names of classes. The folder is the server's alone while it
    runs, and is gone on with or begun anew as that of `attar.federated`.

    Args:
        data: as `attar.federated` takes it.
        clients: how many nodes there are.
        bandwidth: of all together.
        output: folder for what is made and what arrives.
        **options: those of `attar.federated`.

    Raises:
        BadRequest: Flower is not installed, or an option is refused.
    """
    if not _THERE:
        raise BadRequest("Flower is not installed; pip install 'attar[flower]'")
    own = FederatedRequest.__dataclass_fields__
    mine: dict[str, Any] = {name: options.pop(name) for name in list(options) if name in own}
    mine |= {"clients": clients, "bandwidth": str(bandwidth), "output": Path(output)}
    condensing, reading = request_and_reading(Condensing, options)
    request = request_of(FederatedRequest, mine)
    run = _Run(request, condensing, data, reading)
    return _server_app(run), _client_app(run)
