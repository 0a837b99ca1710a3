"""Messages over Flower; tried with flwr 1.42.0, which has to be installed (extra `flower`)."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("flwr", reason="needs Flower: pip install 'attar[flower]'")

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

import attar
from attar import BadRequest
from attar.applications.federated import flower
from attar.applications.federated.results import FederatedResult
from attar.locking import sole_writer

OPTIONS: dict[str, Any] = {
    **{"classes": 4, "per_class": 12, "updates": 2, "repeats": 1, "validation": 0},
    **{"network": "convnet1:width=4", "device": "cpu", "method": "random", "timeout": 20.0},
}
# what a message is made in; an engine says it before the apps begin
TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = 1, 1, 0
Change = Callable[[Message], Message | None]


class Direct(Grid):
    """A grid that hands Flower's own messages to a ClientApp, without an engine."""

    def __init__(self, app: ClientApp, nodes: Mapping[int, int], change: Change | None) -> None:
        self._app, self._nodes, self._change = app, nodes, change

    run = property(lambda self: SimpleNamespace(run_id=1))

    def set_run(self, run: Any) -> None: ...
    def create_message(self, *args: Any, **options: Any) -> Message:
        raise NotImplementedError

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return self._nodes

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        assert timeout is not None
        replies = (self._answered(one) for one in messages)
        return [one for one in replies if one is not None]

    def _answered(self, message: Message) -> Message | None:
        node = message.metadata.dst_node_id
        config = {"partition-id": self._nodes[node]}
        context = Context(1, node, config, RecordDict(), {})
        reply = self._app(message, context)
        wronged = message.metadata.message_type == "query.ask" and config["partition-id"] == 1
        if self._change is not None and wronged:
            return self._change(message if self._change is failed else reply)
        return reply


def over_flower(
    folder: Path, change: Change | None = None, bandwidth: int = 8, **options: Any
) -> FederatedResult:
    server, client = flower.apps("digits", 2, bandwidth, folder, **OPTIONS, **options)
    grid = Direct(client, {77: 0, 55: 1}, change)
    server(grid, Context(1, 0, {}, RecordDict(), {}))
    return FederatedResult.load(folder / "results.json")


def test_the_same_comes_over_flower(tmp_path: Path) -> None:
    result = over_flower(tmp_path)
    alone = attar.federated("digits", 2, 8, **OPTIONS)
    assert [one.accuracies for one in result.rounds] == [one.accuracies for one in alone.rounds]
    for one, other in zip(result.rounds, alone.rounds, strict=True):
        # an array travels as a file of NumPy, which has a header
        assert one.counted is not None and one.counted > one.carried == other.carried


def failed(asked: Message) -> Message:
    # what Flower makes of an exception in a ClientApp: its text, with whatever paths are in it
    return Message(Error(0, "/home/me/x"), reply_to=asked)


WRONG: dict[str, tuple[Change, str]] = {
    "late": (lambda reply: None, "it had not answered after 20 s"),
    "failed": (
        failed,
        "it could not make what it was asked for",
    ),
    "nothing": (lambda reply: with_content(reply, {}), "holds no message"),
    "floats": (
        lambda reply: with_content(reply, {"data": ArrayRecord({"data": Array(np.zeros(9))})}),
        "no array of uint8",
    ),
    "text": (
        lambda reply: with_content(
            reply,
            {"data": ArrayRecord({"data": Array("uint8", (9,), "numpy.ndarray", b"no array")})},
        ),
        "no array that can be read",
    ),
    "other": (
        lambda reply: with_content(reply, {"data": ConfigRecord({"data": "text"})}),
        "holds no message",
    ),
}


def with_content(reply: Message, records: dict[str, Any]) -> Message:
    reply.content = RecordDict(records)
    return reply


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_message_is_left_out(kind: str, tmp_path: Path) -> None:
    change, why = WRONG[kind]
    last = over_flower(tmp_path, change).rounds[-1]
    assert [one.client for one in last.refused] == [2] and why in last.refused[0].why
    assert last.accuracies and len(last.classes) == 2


def test_the_folder_is_kept_from_other_runs_as_that_of_a_run_without_flower(tmp_path: Path) -> None:
    over_flower(tmp_path)
    with pytest.raises(BadRequest, match="another run is there"):
        over_flower(tmp_path, bandwidth=16)
    anew = over_flower(tmp_path, bandwidth=16, overwrite=True)
    assert anew.rounds[0].paper_bytes == 16 * 256
    with sole_writer(tmp_path / "results.json"), pytest.raises(BadRequest):
        over_flower(tmp_path, bandwidth=16)


def test_a_client_app_goes_to_another_process(tmp_path: Path) -> None:
    # as the simulation engine sends it to its actors (ray 2.55)
    pickle = pytest.importorskip("ray.cloudpickle", reason="needs ray: flwr[simulation]")
    server, client = flower.apps("digits", 2, 8, tmp_path, **OPTIONS)
    server(Direct(client, {77: 0, 55: 1}, None), Context(1, 0, {}, RecordDict(), {}))
    # what was read from the data stays
    sent = pickle.dumps(client)
    assert len(sent) < 20_000
    asked = Message(RecordDict(), 77, "query.who")
    reply = pickle.loads(sent)(asked, Context(1, 77, {"partition-id": 1}, RecordDict(), {}))
    assert reply.content["who"]["who"] == 2
