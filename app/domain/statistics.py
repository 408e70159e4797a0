"""The numbers behind a comparison: bootstrap ratios, rank tests over groups, growth exponents.

Tests and intervals follow Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006).
numpy and scipy are imported where they are used: the API starts without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Final

from app.contracts.comparison import PairTest, Ratio, Statistics, Timing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES: Final = 2_000
CONFIDENCE: Final = 0.95
MIN_BLOCKS: Final = 6
"""Below six blocks a two-sided signed-rank test cannot reach p < 0.05, whatever the times are."""

MAX_TREATMENTS: Final = 20
"""Pairs grow with the square, and Holm's correction over more of them leaves nothing to find."""

_MIN_TREATMENTS: Final = 3
_SHORTEST_SECONDS: Final = 1e-9
"""Resolution of the clock: a fit that took "no time" must not divide by zero."""

Blocks = Mapping[str, Mapping[str, float]]
"""Median seconds: contender -> group -> seconds."""


def timing(seconds: Sequence[float]) -> Timing:
    """Figures of at least one fit time."""
    import numpy as np

    values = np.asarray(seconds, dtype=np.float64)
    low, median, high = np.percentile(values, [25, 50, 75])
    return Timing(
        samples=[float(value) for value in values],
        median=float(median),
        minimum=float(values.min()),
        spread=float(high - low),
    )


class RatioBootstrap:
    """Ratios of medians with bootstrap percentile intervals. Equal seeds give equal intervals.

    One object serves a whole comparison: index matrices are drawn once per number of samples.
    """

    def __init__(self, seed: int, resamples: int = RESAMPLES, confidence: float = CONFIDENCE) -> None:
        self._seed = seed
        self._resamples = resamples
        self._confidence = confidence
        self._drawn: dict[tuple[int, int], NDArray[np.int64]] = {}

    def ratio(self, reference: Mapping[int, float], other: Mapping[int, float], paired: bool) -> Ratio | None:
        """Reference time / other time, from seconds by round; None without a round to use.

        Paired: only rounds that both have, resampled jointly, so that drift which hit both alike cancels.
        """
        import numpy as np

        shared = sorted(reference.keys() & other.keys())
        above = self._values(reference, shared if paired else sorted(reference))
        below = self._values(other, shared if paired else sorted(other))
        if not above.size or not below.size:
            return None
        ratios = self._medians(above, 0) / self._medians(below, 0 if paired else 1)
        estimate = float(np.median(above) / np.median(below))
        tail = 50.0 * (1.0 - self._confidence)
        low, high = (float(bound) for bound in np.percentile(ratios, [tail, 100.0 - tail]))
        # Readers rely on low <= estimate <= high; percentiles of resamples alone promise it only in practice.
        return Ratio(
            estimate=estimate,
            low=min(low, estimate),
            high=max(high, estimate),
            confidence=self._confidence,
            paired=paired,
            rounds=int(min(above.size, below.size)),
        )

    @staticmethod
    def _values(seconds: Mapping[int, float], rounds: Sequence[int]) -> NDArray[np.float64]:
        import numpy as np

        return np.maximum(np.array([seconds[number] for number in rounds], dtype=np.float64), _SHORTEST_SECONDS)

    def _medians(self, values: NDArray[np.float64], stream: int) -> NDArray[np.float64]:
        import numpy as np

        medians: NDArray[np.float64] = np.median(values[self._indices(values.size, stream)], axis=1)
        return medians

    def _indices(self, size: int, stream: int) -> NDArray[np.int64]:
        import numpy as np

        key = (size, stream)
        if key not in self._drawn:
            generator = np.random.default_rng([self._seed, size, stream])
            self._drawn[key] = generator.integers(0, size, size=(self._resamples, size))
        return self._drawn[key]


def rank_tests(blocks: Blocks) -> Statistics:
    """Wilcoxon-Holm for every pair and Friedman over all, with groups as blocks; `reason` says what is left out."""
    if len(blocks) < 2:
        return Statistics(reason="tests need at least two certified contenders")
    if len(blocks) > MAX_TREATMENTS:
        return Statistics(reason=f"tests compare at most {MAX_TREATMENTS} contenders, there are {len(blocks)}")
    most = max(len(groups) for groups in blocks.values())
    if most < MIN_BLOCKS:
        return Statistics(reason=f"tests need at least {MIN_BLOCKS} groups with certified results, there are {most}")
    pairs = _pair_tests(blocks)
    friedman_p, mean_ranks, reason = _friedman(blocks)
    if not pairs:
        reason = f"no two contenders share {MIN_BLOCKS} groups with certified results"
    return Statistics(pairs=pairs, friedman_p=friedman_p, mean_ranks=mean_ranks, reason=reason)


def growth_exponent(sizes: Sequence[int], medians: Sequence[float]) -> float:
    """Least-squares slope of log seconds over log size: 1 is linear, 2 quadratic. At least two distinct sizes."""
    import numpy as np

    x = np.log(np.asarray(sizes, dtype=np.float64))
    y = np.log(np.maximum(np.asarray(medians, dtype=np.float64), _SHORTEST_SECONDS))
    x = x - x.mean()
    return float(x @ (y - y.mean()) / (x @ x))


def _pair_tests(blocks: Blocks) -> list[PairTest]:
    raw: list[tuple[str, str, float, int]] = []
    for first, second in combinations(blocks, 2):
        shared = [group for group in blocks[first] if group in blocks[second]]
        if len(shared) >= MIN_BLOCKS:
            p = _wilcoxon([blocks[first][g] for g in shared], [blocks[second][g] for g in shared])
            raw.append((first, second, p, len(shared)))
    corrected = _holm([p for _, _, p, _ in raw])
    return [
        PairTest(first=first, second=second, p_holm=p, blocks=count)
        for (first, second, _, count), p in zip(raw, corrected, strict=True)
    ]


def _wilcoxon(first: Sequence[float], second: Sequence[float]) -> float:
    import numpy as np
    from scipy.stats import wilcoxon

    # Of logarithms, so that a group of long fits does not outweigh one of short fits.
    logs = np.log(np.maximum(np.array([first, second], dtype=np.float64), _SHORTEST_SECONDS))
    differences = logs[0] - logs[1]
    differences = differences[differences != 0.0]
    if not differences.size:
        return 1.0
    return float(wilcoxon(differences).pvalue)


def _holm(p_values: Sequence[float]) -> list[float]:
    corrected = [1.0] * len(p_values)
    running = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = running
    return corrected


def _friedman(blocks: Blocks) -> tuple[float | None, dict[str, float], str]:
    """p, mean ranks (1 is fastest) and why there is no p, over the groups in which every contender has a time."""
    import numpy as np
    from scipy.stats import friedmanchisquare, rankdata

    names = [name for name, groups in blocks.items() if len(groups) >= MIN_BLOCKS]
    complete = [group for group in blocks[names[0]] if all(group in blocks[name] for name in names)]
    if len(complete) < MIN_BLOCKS:
        return None, {}, f"only {len(complete)} groups have a certified result of every contender"
    table = np.array([[blocks[name][group] for name in names] for group in complete], dtype=np.float64)
    means = rankdata(table, axis=1).mean(axis=0)
    ranks = {name: float(mean) for name, mean in zip(names, means, strict=True)}
    if len(names) < _MIN_TREATMENTS:
        return None, ranks, f"the Friedman test needs at least {_MIN_TREATMENTS} contenders"
    if bool((table == table[:, :1]).all()):
        return 1.0, ranks, ""
    return float(friedmanchisquare(*table.T).pvalue), ranks, ""
