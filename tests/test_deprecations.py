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
