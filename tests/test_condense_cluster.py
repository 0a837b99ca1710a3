"""Classes of a run over actors of a Ray cluster: what the asking side does, and a real one."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from attar.condensing import clustered
from attar.condensing.clustered import Clustered
from attar.condensing.condense import condense
from attar.condensing.crew import Lost
from attar.condensing.divided import Divided
from attar.condensing.plan import Plan
from attar.condensing.planning import make_plan
from attar.condensing.request import Request
from attar.data import LabelledImages, Splits
from attar.errors import BadRequest
from attar.tensors import flatten
from catalogue import SMALL, tiny_data

DATA = tiny_data(counts=(12, 15, 9, 11, 13))
ASKED: dict[str, Any] = {
    **SMALL,
    "method": "dm",
    "iterations": 3,
    "settings": {"batch_real": 7},
    "workers": 2,
}


class Failing(Exception):
    pass


class FakeRay:
    """Actors in this process."""

    exceptions = SimpleNamespace(RayError=Failing, GetTimeoutError=TimeoutError)

    def __init__(self, cores: int = 8) -> None:
        self.cores, self.killed, self.is_shut = cores, 0, False
        self.options: dict[str, Any] = {}
        self.sent: list[Any] = []
        self.actors: list[_Actor] = []

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self.cores}

    def remote(self, **options: Any) -> Any:
        self.options = options
        return lambda kind: SimpleNamespace(remote=lambda *own: self._hired(kind(*own)))

    def _hired(self, worker: Any) -> "_Actor":
        self.actors.append(_Actor(worker))
        return self.actors[-1]

    def put(self, value: Any) -> Any:
        self.sent.append(value)
        return value

    def get(self, answer: Any, timeout: float) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    def kill(self, actor: Any) -> None:
        self.killed += 1

    def shutdown(self) -> None:
        self.is_shut = True


class _Actor:
    def __init__(self, worker: Any) -> None:
        self._worker = worker
        # what is raised where it is waited for
        self.lost: Exception | None = None
        self.answer = SimpleNamespace(remote=self._answer)

    def _answer(self, *asked: Any) -> Any:
        return self.lost or self._worker.answer(*asked)


def planned(data: LabelledImages = DATA, **options: Any) -> Plan:
    return make_plan(Request(**{**ASKED, "ray": "local", **options}), Splits(data, data))


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    found = FakeRay()
    monkeypatch.setattr(clustered, "connect", lambda address: found)
    return found


def test_a_cluster_comes_to_what_one_process_does(ray: FakeRay) -> None:
    # a part of a larger tensor, which does not travel
    larger = torch.cat([DATA.images[:], DATA.images[:]])  # pyright: ignore[reportArgumentType]
    data = tiny_data(counts=(12, 15, 9, 11, 13))
    part = LabelledImages(larger[: len(data)], data.labels, data.class_names, data.preprocessing)
    plan = planned(part)
    crew = Clustered("local", plan)
    shared, alone = Divided(plan.run(), crew), plan.run()
    for _ in range(2):
        alone.advance()
        shared.advance()
    wanted, found = flatten(alone.state_dict())[0], flatten(shared.state_dict())[0]
    assert all(found[name].equal(one) for name, one in wanted.items())
    assert ray.options == {"num_cpus": torch.get_num_threads(), "num_gpus": 0.0}
    sent = ray.sent[1].images
    assert sent.untyped_storage().nbytes() == sent.nbytes
    crew.close()
    assert ray.killed == 2 and ray.is_shut


@pytest.mark.parametrize("options", [{}, {"method": "fastlodm", "optimiser": "adam"}], ids=str)
def test_a_lost_actor_is_replaced_and_its_steps_are_done_again(
    ray: FakeRay, options: dict[str, Any]
) -> None:
    plan = planned(average=0.5, **options)
    shared, alone = Divided(plan.run(), Clustered("local", plan)), plan.run()
    first = (
        r"worker 1 of 2 \(classes 0 to 1\) was lost: its process .*; another one takes its place"
    )

    def stepped() -> None:
        assert shared.advance() == pytest.approx(alone.advance(), rel=1e-6)

    ray.actors[0].lost = Failing("before anything was done")
    with pytest.warns(UserWarning, match=f"{first}$"):
        stepped()
    stepped()
    # brings what they hold
    shared.state_dict()
    stepped()
    stepped()
    ray.actors[2].lost = Failing("actor died")
    ray.actors[1].lost = TimeoutError()
    with pytest.warns(UserWarning) as told:
        stepped()
    said = [str(one.message) for one in told]
    assert len(said) == 2 and said[0].endswith("takes its place and does 2 steps again")
    assert "worker 2 of 2 (classes 2 to 4) was lost: it said nothing for 3600 s" in said[1]
    wanted, found = flatten(alone.state_dict())[0], flatten(shared.state_dict())[0]
    assert all(found[name].equal(one) for name, one in wanted.items())
    ray.actors[3].lost = Failing("actor died")
    with pytest.raises(Lost, match=r"worker 1 of 2 .* was lost for the third time: its process"):
        stepped()


def test_an_actor_without_room_for_another_is_lost(ray: FakeRay) -> None:
    crew = Clustered("local", planned())
    ray.cores, ray.actors[1].lost = torch.get_num_threads(), Failing("its machine is gone")
    with pytest.raises(Lost, match=r"worker 2 of 2 .* ended, and the cluster local has room for 1"):
        crew.ask("present", [(), ()])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": 1}, "--ray local: say with --workers how many"),
        ({"method": "dsa"}, "--ray local: .* --method dsa needs an exchange in every step"),
        ({"workers": 4}, "--workers 4: the cluster local has room for 3"),
        ({"workers": 6}, "--workers 6: the set has 5 classes"),
    ],
    ids=str,
)
def test_what_a_cluster_cannot_do_is_refused(
    ray: FakeRay, options: dict[str, Any], said: str
) -> None:
    ray.cores = 3 * torch.get_num_threads()
    with pytest.raises(BadRequest, match=said):
        Clustered("local", planned(**options))


@pytest.mark.slow
def test_a_real_cluster_gives_the_same_set() -> None:
    pytest.importorskip("ray")
    data = Splits(DATA, DATA)
    alone = condense(data, **{**ASKED, "workers": 1})
    shared = condense(data, ray="local", **ASKED)
    assert shared.images.equal(alone.images)
