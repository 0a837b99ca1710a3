"""Old names work for one version, warn of the new one, and are refused beside it."""

import pytest

import attar
from attar.artefact.header import Header
from attar.renaming import GONE_IN
from catalogue import tiny_data

SMALL = {"method": "random", "ipc": 1, "network": "convnet1:width=8"}


def test_the_header_of_an_artefact_was_called_its_card() -> None:
    made = attar.condense(tiny_data(), **SMALL)
    with pytest.warns(DeprecationWarning, match=f"called header now; .* goes in Attar {GONE_IN}"):
        assert made.card is made.header
    parts = made.synthetic, made.preprocessing
    with pytest.warns(DeprecationWarning, match="card= is called header= now"):
        assert attar.Artefact(card=made.header, synthetic=parts[0], preprocessing=parts[1])
    with pytest.raises(attar.BadRequest, match="card is the old name of header: give header alone"):
        attar.Artefact(made.header, *parts, header=made.header, card=made.header)


def test_the_module_of_the_header_was_called_card() -> None:
    with pytest.warns(DeprecationWarning, match=r"attar\.artefact\.card\.Card is called"):
        from attar.artefact.card import Card
    assert Card is Header
    with pytest.warns(DeprecationWarning, match="is called attar.artefact.header.READ_FROM now"):
        from attar.artefact.card import READ_FROM
    assert READ_FROM == "part_of"
    with pytest.raises(ImportError, match="Deck"):
        from attar.artefact.card import Deck  # noqa: F401


class Counting(attar.Callback):
    def __init__(self) -> None:
        self.finishes = 0

    def finished(self, artefact: attar.Artefact) -> None:
        self.finishes += 1


def test_callbacks_were_called_listeners() -> None:
    with pytest.warns(DeprecationWarning, match=r"attar\.Listener is called attar\.Callback now"):
        assert attar.Listener is attar.Callback
    with pytest.warns(DeprecationWarning, match="condensing.telling.Callback now"):
        from attar.condensing.listening import Listener
    with pytest.warns(DeprecationWarning, match="ExpertCallback now"):
        from attar.experts.telling import ExpertListener
    with pytest.warns(DeprecationWarning, match="BenchCallback now"):
        from attar.benching import Watcher
    assert (Listener, ExpertListener) == (attar.Callback, attar.experts.telling.ExpertCallback)
    assert Watcher is attar.benching.BenchCallback


def test_callback_was_called_listener() -> None:
    told = Counting()
    with pytest.warns(DeprecationWarning, match="listener= is called callback= now") as warned:
        made = attar.condense(tiny_data(), listener=told, **SMALL | {"ipc": 2})
    assert told.finishes == 1 and warned[0].filename == __file__
    both = {"listener": told, "callback": told}
    for call in (
        lambda: attar.condense(tiny_data(), **both, **SMALL),
        lambda: attar.slim(made, 1, **both),
        lambda: attar.train_experts(tiny_data(), **both),
    ):
        with pytest.raises(attar.BadRequest, match="listener is the old name of callback: give"):
            call()
    with pytest.warns(DeprecationWarning, match="listener="):
        attar.slim(made, 1, listener=told, learning_free=True)
    with pytest.warns(DeprecationWarning, match="listener="), pytest.raises(attar.BadRequest):
        attar.train_experts(tiny_data(), listener=told, count=0)
