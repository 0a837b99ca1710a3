"""An evaluation card of your own: how networks are trained on a set, by --card and by name.

uv run python examples/own_card.py
"""

import attar
from attar.training import EvaluationCard

attar.register(
    EvaluationCard("short-adam", "100 epochs of Adam", 100, "none", optimiser="adam", lr=1e-3)
)

if __name__ == "__main__":
    made = attar.condense("digits", method="random", ipc=2)
    for card in ("short-adam", "dc-300"):
        row = attar.evaluate(made, networks="convnet3", card=card, epochs=100, repeats=1)[0]
        print(f"{card}: {row.results[0].mean:.1f} %")
