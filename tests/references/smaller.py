"""What a set of the first k components is, one value after another in float64.

From the definition in `attar.synthetic.forms.orthogonal.smaller`: the rows with the most energy,
the polar factor of their part of U, and significances that keep their energy.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def smaller(mixing: Array, significance: Array, count: int) -> tuple[Array, Array]:
    """Return U' (k×k) and Σ' (k) from an orthonormal U (n×b) and Σ (b) of one group."""
    energies = [
        sum((mixing[i, j] * significance[j]) ** 2 for j in range(count)) for i in range(len(mixing))
    ]
    by_energy = sorted(range(len(mixing)), key=lambda i: (-round(energies[i], 9), i))
    rows = sorted(by_energy[:count])
    chosen = np.array([[mixing[i, j] for j in range(count)] for i in rows])
    # Newton's iteration for the polar factor, in place of a singular value decomposition
    factor = chosen / np.linalg.norm(chosen)
    for _ in range(200):
        factor = (factor + np.linalg.inv(factor).T) / 2
    kept = sum(energies[i] for i in rows)
    whole = sum(significance[j] ** 2 for j in range(count))
    return factor, significance[:count] * np.sqrt(kept / whole)
