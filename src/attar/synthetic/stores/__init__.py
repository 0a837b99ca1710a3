"""How one array of synthetic rows is stored: as it is, or as low-rank factors.

A store behaves as an array N×*item of float32 and keeps something smaller. These keep any array;
what only one form builds stands beside its choice in `attar.synthetic.forms`.
"""

from attar.synthetic.stores.adaptive import AdaptiveRank
from attar.synthetic.stores.dense import Dense, dense_values
from attar.synthetic.stores.factors import LowRank, check_rank, low_rank_values
from attar.synthetic.stores.moves import Move
from attar.synthetic.stores.store import Store, largest
from attar.synthetic.stores.touched import Touched, rows_of, touching

__all__ = [
    "AdaptiveRank",
    "Dense",
    "LowRank",
    "Move",
    "Store",
    "Touched",
    "check_rank",
    "dense_values",
    "largest",
    "low_rank_values",
    "rows_of",
    "touching",
]
