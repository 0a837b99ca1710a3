"""`attar methods`, `sources`, `networks` and `cards`: what there is, one line each."""

from __future__ import annotations

from dataclasses import dataclass

from attar.cli.console import print_listing


@dataclass(frozen=True)
class Methods:
    """List the methods, one line each, with the paper."""

    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Carry it out."""
        from attar.methods import METHODS

        rows = [(m.name, m.summary, m.paper) for m in METHODS.values()]
        print_listing(self.json, "methods", ("name", "summary", "paper"), rows)


@dataclass(frozen=True)
class Sources:
    """List what can be condensed, one line each."""

    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Carry it out."""
        from attar.data import source_rows

        print_listing(self.json, "sources", ("source", "summary"), source_rows())


@dataclass(frozen=True)
class Networks:
    """List the networks and their options, the default of each first."""

    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Carry it out."""
        from attar.networks.families import rows

        print_listing(self.json, "networks", ("name", "summary", "options"), rows())


@dataclass(frozen=True)
class Cards:
    """List the evaluation cards, one line each."""

    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Carry it out."""
        from attar.evaluation.describing import fixed
        from attar.training.cards import CARDS

        rows = [(card.name, fixed(card)) for card in CARDS.values()]
        print_listing(self.json, "cards", ("name", "fixes"), rows)
