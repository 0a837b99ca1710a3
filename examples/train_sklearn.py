"""Condense arrays as scikit-learn has them, and train a classifier of scikit-learn on the set.

uv run python examples/train_sklearn.py
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import attar


def main(iterations: int = 200) -> float:
    rows, labels = load_digits(return_X_y=True)
    images = np.asarray(rows).reshape(-1, 8, 8) / 16  # in [0, 1]
    x_train, x_test, y_train, y_test = map(
        np.asarray, train_test_split(images, labels, random_state=0, stratify=labels)
    )
    condensed = attar.condense(
        x_train, y_train, method="dm", ipc=5, iterations=iterations, validation=0
    )

    rows, classes = condensed.as_numpy()
    classifier = LogisticRegression(max_iter=500).fit(rows, classes)
    # real images need what the set's own have had
    real = condensed.transform(x_test[:, None]).flatten(1).numpy()
    return float(classifier.score(real, y_test))


if __name__ == "__main__":
    print(f"accuracy on real digits: {main():.1%}")
