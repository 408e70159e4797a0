"""Comparisons as the API answers them, with figures of a plausible size."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID, uuid5

from app.contracts.comparison import Comparison, Entry, Group, Growth, PairTest, Ratio, Statistics, Timing
from app.contracts.failures import Failure, FailureCode
from app.contracts.measurement import Environment, MemoryFigure, Quality
from app.contracts.states import RunState, TrialState, Verdict

RUN_ID = UUID("019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071")
MIB = 2**20
ENVIRONMENT = Environment(
    cpu_model="AMD EPYC 7763 64-Core Processor",
    cpu_quota=2.0,
    memory_limit_bytes=6 * 2**30,
    image="corepoint 0.1.0",
    hostname="corepoint-worker-default-7c9d",
    kernel="6.8.0-45-generic",
    python="3.11.9",
    libraries={"numpy": "2.4.1", "scikit-learn": "1.9.1", "pyspark": "4.0.4", "pyarrow": "26.0.0"},
    java="17.0.12",
)


def timing(median: float, rounds: int = 7, seed: int = 0) -> Timing:
    dice = random.Random(f"{median} {seed}")
    samples = sorted(median * (1 + dice.gauss(0, 0.03)) for _ in range(rounds))
    middle = samples[rounds // 2]
    dice.shuffle(samples)
    return Timing(samples=samples, median=middle, minimum=min(samples), spread=middle * 0.04)


def entry(label: str, seconds: float, memory_mib: float = 40, **changes: Any) -> Entry:
    values: dict[str, Any] = {
        "trial_id": uuid5(RUN_ID, f"{label} {seconds} {memory_mib}"),
        "label": label,
        "algorithm": label,
        "algorithm_version": "1.9.1",
        "parameters": {"eps": 0.05, "min_samples": 5, "algorithm": "kd_tree", "leaf_size": 30},
        "state": TrialState.SUCCEEDED,
        "is_reference": False,
        "verdict": Verdict.IDENTICAL,
        "verdict_reason": "core points, clusters and noise are the same",
        "timing": timing(seconds),
        "ratio": Ratio(estimate=1.8, low=1.7, high=1.9, paired=True, rounds=7),
        "cpu_seconds": seconds * 1.1,
        "memory": MemoryFigure(peak_bytes=int((200 + memory_mib) * MIB), baseline_bytes=200 * MIB, method="vmhwm"),
        "predicted_bytes": int((190 + memory_mib * 1.1) * MIB),
        "points_per_second": 144_000 / seconds,
        "quality": Quality(
            clusters=412, core_points=120_000, noise_share=0.083, silhouette=0.41, silhouette_points=5_000
        ),
    }
    return Entry(**{**values, **changes})


def reference(label: str = "sklearn-dbscan", seconds: float = 1.84, **changes: Any) -> Entry:
    ratio = Ratio(estimate=1.0, low=1.0, high=1.0, paired=True, rounds=7)
    return entry(label, seconds, **{"is_reference": True, "ratio": ratio, "verdict_reason": "", **changes})


def failed(label: str, code: FailureCode = FailureCode.MEMOUT, message: str = "", **changes: Any) -> Entry:
    message = message or "the sample used 6.2 GiB; its limit is 6.0 GiB"
    empty = dict.fromkeys(("verdict", "timing", "ratio", "cpu_seconds", "memory", "points_per_second", "quality"), None)
    values = {
        "state": TrialState.FAILED,
        "failure": Failure.of(code, message),
        "verdict_reason": "",
        **empty,
        **changes,
    }
    return entry(label, 1.0, **values)


def group(entries: list[Entry], dataset: str = "world-cities", size: int = 144_000, eps: float = 0.05) -> Group:
    return Group(
        dataset=dataset,
        dataset_sha256="3f" * 32,
        sample_size=size,
        d=2,
        problem={"eps": eps, "min_samples": 5},
        entries=entries,
    )


def comparison(groups: list[Group], **changes: Any) -> Comparison:
    values: dict[str, Any] = {
        "experiment": "cities",
        "description": "DBSCAN of the world's cities: scikit-learn against Spark",
        "run_id": RUN_ID,
        "state": RunState.SUCCEEDED,
        "reference": "sklearn-dbscan",
        "rounds": 7,
        "groups": groups,
        "statistics": Statistics(reason="1 task; a test needs at least 6"),
        "environments": [ENVIRONMENT],
    }
    return Comparison(**{**values, **changes})


def three_implementations(**changes: Any) -> Comparison:
    """One task: the reference, a faster one, and a slower one that reports no silhouette."""
    slow = Ratio(estimate=0.31, low=0.29, high=0.33, paired=False, rounds=7)
    no_silhouette = Quality(
        clusters=412,
        core_points=120_000,
        noise_share=0.083,
        reasons={"silhouette": "over 50 million pairs: not computed"},
    )
    return comparison(
        [
            group(
                [
                    reference(on_pareto_front=True),
                    entry("sklearn-dbscan-parallel", 1.02, 96, on_pareto_front=True),
                    entry("spark-dbscan", 5.9, 310, ratio=slow, reused=True, quality=no_silhouette),
                ]
            )
        ],
        **changes,
    )


def many_tasks(tasks: int = 8) -> Comparison:
    """A sweep over sizes and eps with a failure, a different result and growth."""
    sizes = [10_000 * 2**i for i in range((tasks + 1) // 2)]
    groups = []
    for place in range(tasks):
        n = sizes[place // 2]
        seconds = 0.11 * (n / 10_000) ** 1.2 * (1 + place % 2)
        fast = Ratio(
            estimate=1.4 + place % 5 / 10, low=1.3 + place % 5 / 10, high=1.5 + place % 5 / 10, paired=True, rounds=7
        )
        slow = Ratio(estimate=0.4, low=0.35, high=0.44, paired=True, rounds=7)
        last = (
            failed("spark-dbscan", FailureCode.TIMEOUT, "the fit took longer than 600 s")
            if place == tasks - 1
            else entry("spark-dbscan", seconds / 0.4, 200 + place * 30, ratio=slow, verdict=Verdict.BORDER_ONLY,
                       verdict_reason="3 border points are in another, admissible cluster")
        )  # fmt: skip
        third = entry("fast-approximate", seconds / 4, 12, verdict=Verdict.DIFFERENT,
                      verdict_reason="the core points differ", ratio=fast)  # fmt: skip
        entries = [
            reference(seconds=seconds, memory_mib=20 + place * 8),
            entry(
                "sklearn-dbscan-parallel", seconds / fast.estimate, 40 + place * 20, ratio=fast, on_pareto_front=True
            ),
            third,
            last,
        ]
        groups.append(group(entries, size=n, eps=0.05 * (1 + place % 2)))
    lines = (("sklearn-dbscan", 1.21, 1.0), ("sklearn-dbscan-parallel", 1.17, 1.7), ("spark-dbscan", 1.05, 0.4))
    growth = [
        Growth(
            label=label,
            dataset="world-cities",
            problem={"eps": 0.05, "min_samples": 5},
            exponent=exponent,
            sizes=sizes,
            medians=[0.11 / speed * (n / 10_000) ** exponent for n in sizes],
        )
        for label, exponent, speed in lines
    ]
    return comparison(
        groups,
        state=RunState.PARTIAL,
        statistics=Statistics(
            pairs=[
                PairTest(first="sklearn-dbscan-parallel", second="sklearn-dbscan", p_holm=0.0156, blocks=tasks),
                PairTest(first="sklearn-dbscan", second="spark-dbscan", p_holm=0.031, blocks=tasks),
            ],
            friedman_p=0.0009,
            mean_ranks={"spark-dbscan": 2.9, "sklearn-dbscan": 2.0, "sklearn-dbscan-parallel": 1.1},
            growth=growth,
        ),
    )
