"""How soon a run starts: ours beside Prefect's stock process worker, in one corepoint, taking turns.

Both workers are idle and warm, on queues of their own, and run the same flow of the same experiment: one trial, 10,000
points, one timed sample, nothing reused. Then 100 such batches one after another, for a batch's own time.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hack.benches.figures import median, spread
from hack.benches.legs import NAMES, Legs, legs, start
from hack.benches.report import table, write_section
from tests.stack import Stack

CLAIM_SECONDS, SOONER, FIT_SECONDS, OWN_SECONDS = 1.0, 6.0, 2.0, 1.0
IDLE_SECONDS = (1.5, 2.5)  # between two runs, at random: nobody's polling is in step with us
START_SECONDS = 60.0
QUEUED = 10
OURS, STOCK = "default", "high-memory"
DATASET = """
apiVersion: corepoint/v1
kind: Dataset
name: blobs
source: {generate: {kind: blobs, n: 10000, centers: 20, spread: 0.3, seed: 1}}
"""
EXPERIMENT = """
apiVersion: corepoint/v1
kind: Experiment
name: {queue}
queue: {queue}
datasets: [blobs]
parameters: {{eps: 0.15, min_samples: 10}}
algorithms: [{{name: sequential, algorithm: sklearn-dbscan}}]
protocol: {{rounds: 1, reuse: never}}
"""


def run(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="hack/bench latency", description=__doc__)
    parser.add_argument("--samples", type=int, default=15, help="runs of each worker")
    parser.add_argument("--batches", type=int, default=100, help="one after another, on our worker")
    parser.add_argument("--no-write", action="store_true", help="leave docs/benchmarks.md as it is")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="corepoint-latency-") as folder, _stack(Path(folder)) as stack:
        found = _side_by_side(stack, options.samples)
        own = [one.own for one in _one_after_another(stack, options.batches)]
    body, holds = _report(found, own)
    print(body)
    if not options.no_write:
        write_section("latency", f"hack/bench latency --samples {options.samples} --batches {options.batches}", body)
    return 0 if holds else 1


@contextmanager
def _stack(folder: Path) -> Iterator[Stack]:
    """A corepoint whose own worker, which serves every queue, has made way for the two that are compared."""
    stack = Stack(folder, traced=False)
    stack.start()
    try:
        stack.create(DATASET, "--wait")
        for worker in stack.processes("-m workers.process"):
            if "app.embedded.guard" not in worker.cmdline():
                worker.suspend()
        ours = [sys.executable, "-m", "workers.process", "--pool", "corepoint", "--name", "ours", "--queue", OURS]
        # Prefect's own command, asking every second instead of every ten, and for nothing ahead of its time.
        stock = [sys.executable, "-m", "prefect", "worker", "start", "--type", "process", "--pool", "corepoint"]
        stock += ["--name", "stock", "--work-queue", STOCK, "--limit", "1", "--prefetch-seconds", "0"]
        with _worker(stack, "ours", ours, "worker started"), _worker(stack, "stock", stock, "started!"):
            yield stack
    finally:
        for worker in stack.processes("-m workers.process"):
            worker.resume()
        stack.stop()


@contextmanager
def _worker(stack: Stack, name: str, command: Sequence[str], says: str) -> Iterator[None]:
    log = stack.folder / f"{name}.log"
    own = {"PREFECT_WORKER_QUERY_SECONDS": "1"} if name == "stock" else {}
    environment = {
        **stack.environment,
        **own,
        "PYTHONPATH": os.fspath(Path(__file__).resolve().parents[2]),
        "PREFECT_API_URL": f"http://127.0.0.1:{stack.ports['prefect']}/api",
        "PREFECT_HOME": os.fspath(stack.folder / name / "prefect"),
        "COREPOINT_INTERNAL_URL": f"http://127.0.0.1:{stack.ports['internal']}",
        "COREPOINT_WORKER_NAME": name,
        "COREPOINT_OBJECTS__KIND": "folder",
        "COREPOINT_OBJECTS__ROOT": os.fspath(stack.folder / "objects"),
        "COREPOINT_SCRATCH": os.fspath(stack.folder / name / "scratch"),
        "COREPOINT_CACHE": os.fspath(stack.folder / name / "cache"),
    }
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=stack.folder)
    try:
        stack.wait(lambda: says in log.read_text(), START_SECONDS, f"the worker to start; see {log}")
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _side_by_side(stack: Stack, samples: int) -> dict[str, list[Legs]]:
    """The first run of each registers its flow and deployment, and fills its worker's cache: it is not counted."""
    found: dict[str, list[Legs]] = {OURS: [], STOCK: []}
    for number in range(samples + 1):
        for queue in (OURS, STOCK) if number % 2 else (STOCK, OURS):
            if number == 0:
                stack.create(EXPERIMENT.format(queue=queue), "--wait")
                continue
            time.sleep(random.uniform(*IDLE_SECONDS))  # noqa: S311 - no secret
            measured = legs(stack, *start(stack, queue))
            found[queue].append(measured)
            print(
                f"{queue:<12} claimed {measured.claimed:.2f} s, timed fit {measured.first_timed_fit:.2f} s", flush=True
            )
    return found


def _one_after_another(stack: Stack, batches: int) -> list[Legs]:
    """Ten are asked for at once: each is taken as soon as the one before it has ended, and Prefect is not the bound."""
    found: list[Legs] = []
    while len(found) < batches:
        runs = [start(stack, OURS) for _ in range(min(QUEUED, batches - len(found)))]
        found += [legs(stack, *one) for one in runs]
    return found


def _report(found: dict[str, list[Legs]], own: Sequence[float]) -> tuple[str, bool]:
    ours, stock = ([one.claimed for one in found[queue]] for queue in (OURS, STOCK))
    fits = [one.first_timed_fit for one in found[OURS]]
    ratio = median(stock) / median(ours)
    bars = [
        (
            "POST run to batch claimed, p50",
            f"{median(ours):.2f} s",
            f"{CLAIM_SECONDS} s",
            median(ours) <= CLAIM_SECONDS,
        ),
        ("sooner than the stock worker", f"{ratio:.1f} times", f"{SOONER:.0f} times", ratio >= SOONER),
        ("POST run to first timed fit, p50", f"{median(fits):.2f} s", f"{FIT_SECONDS} s", median(fits) <= FIT_SECONDS),
        (
            f"own time of a batch, p50 of {len(own)}",
            f"{median(own):.2f} s",
            f"{OWN_SECONDS} s",
            median(own) <= OWN_SECONDS,
        ),
    ]
    rows = [(what, figure, bar, "holds" if holds else "**broken**") for what, figure, bar, holds in bars]
    by_leg = [
        (words, *(spread([getattr(one, name) for one in found[queue]]) for queue in (OURS, STOCK)))
        for name, words in NAMES.items()
    ]
    what = f"Own time of {len(own)} batches, ten asked for at a time, from RUNNING to the report"
    body = "\n\n".join(
        (
            table(("", "measured", "bar", ""), rows),
            f"Seconds after the POST: median (least to greatest) of {len(ours)} runs each, taking turns.",
            table(("", "ours", "stock process worker, 1 s polling"), by_leg),
            f"{what}, less the lives of the\ntwo sample children: {spread(own)}.",
        )
    )
    return body, all(holds for *_, holds in bars)
