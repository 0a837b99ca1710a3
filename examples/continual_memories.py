"""Which memory keeps what was learnt? Several methods, each on the same orders of classes.

    python examples/continual_memories.py cifar100 5 20ipc random,herding,dm,lodm runs

After every step new networks are trained from scratch on the memory alone, and tested on all
classes seen. Run again, it goes on where it was left. A number behind the folder makes all
trainings and condensations that short, to see that it runs.
"""

import sys
from pathlib import Path
from typing import Any

import attar
from attar.applications.continual.telling import ContinualCallback


class Lines(ContinualCallback):
    def measured(self, step) -> None:
        print(f"  order {step.order}, {step.seen} classes: {step.mean:.1f} %", flush=True)


def main(source: str, steps: str, memory: str, methods: str, folder: str, short: str = "") -> None:
    found = {}
    for method in methods.split(","):
        options: dict[str, Any] = {"updates": int(short), "repeats": 1} if short else {}
        if short and not attar.methods.METHODS[method].coreset:
            options["iterations"] = int(short)
        found[method] = attar.continual(
            source,
            int(steps),
            memory,
            method=method,
            orders=1 if short else 3,
            output=Path(folder) / method,
            callback=Lines(),
            **options,
        )
    print("accuracy in % after each step, and forgetting after the last")
    for method, result in found.items():
        course = "  ".join(f"{point.mean:.1f} ± {point.std:.1f}" for point in result.points)
        print(f"{method:10} {course}  forgets {result.points[-1].forgetting or 0:.1f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
