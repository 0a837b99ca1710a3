"""What training experts depends on, once every setting is concrete."""

from __future__ import annotations

from dataclasses import dataclass

from attar.experts.request import ExpertsRequest
from attar.experts.work import Work
from attar.networks import Network
from attar.synthetic import STORAGE_TYPES

# what is written besides the snapshots, for each expert
_HEADER_BYTES = 4096


@dataclass(frozen=True)
class Plan:
    """Everything that training experts depends on.

    Args:
        request: what was asked for.
        source: where the data came from.
        network: what is trained.
        work: what is done with it.
    """

    request: ExpertsRequest
    source: str
    network: Network
    work: Work

    @property
    def values(self) -> int:
        """P, the number of parameters."""
        return self.work.header.values

    @property
    def expert_bytes(self) -> int:
        """The size of an expert's file."""
        header = self.work.header
        itemsize = STORAGE_TYPES[header.storage].itemsize
        return (header.epochs + 1) * self.values * itemsize + _HEADER_BYTES
