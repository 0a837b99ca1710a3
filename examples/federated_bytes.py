"""What is the line worth? Clients that send condensed sets, beside what else fits into the bytes.

    python examples/federated_bytes.py cifar10 5 500 dm runs

In round k the first k clients share the bandwidth, in full float32 images. Run again, it goes on
where it was left. A number behind the folder makes all trainings and condensations that short, to
see that it runs.
"""

import sys
from pathlib import Path
from typing import Any

import attar
from attar.applications.federated.telling import FederatedCallback


class Lines(FederatedCallback):
    def measured(self, one) -> None:
        mean = "nothing arrived" if one.mean is None else f"{one.mean:.1f} %"
        print(f"  {one.contender}, {one.participants} clients: {mean}", flush=True)


def main(
    source: str, clients: str, bandwidth: str, method: str, folder: str, short: str = ""
) -> None:
    options: dict[str, Any] = {}
    if short:
        options = {"updates": int(short), "repeats": 1, "local_epochs": 1}
        options["network"] = "convnet1:width=4"
    if short and not attar.methods.METHODS[method].coreset:
        options |= {"iterations": int(short), "slimming": "random"}
    result = attar.federated(
        source,
        int(clients),
        bandwidth,
        method=method,
        baselines="fedavg,random,coded",
        output=Path(folder),
        callback=Lines(),
        **options,
    )
    for name in result.contenders:
        last = result.of(name)[-1]
        accuracy = "–" if last.mean is None else f"{last.mean:.1f} ± {last.std:.1f} %"
        print(f"{name:10} {accuracy}  {last.carried} bytes carried")


if __name__ == "__main__":
    main(*sys.argv[1:])
