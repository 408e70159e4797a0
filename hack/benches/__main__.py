"""`hack/bench NAME [OPTION…]`: exit 0 if every bar held, 1 if one broke, 2 if there is no such measurement."""

from __future__ import annotations

import importlib
import sys

BENCHES = {
    "drain": "a queue of 1,000 small batches and 3 workers: none lost, none twice",
    "latency": "POST run to claim and to the first fit, ours beside Prefect's stock process worker",
    "schedules": "how late runs of 1,000 experiments with schedules are",
}


def main(arguments: list[str]) -> int:
    name, *options = arguments or [""]
    if name not in BENCHES:
        for known, what in BENCHES.items():
            print(f"{known:<12}{what}")
        return 2
    module = importlib.import_module(f"hack.benches.{name}")
    status: int = module.run(options)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
