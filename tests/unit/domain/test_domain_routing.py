"""Rules of estimation and routing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning_builders import CATALOGUE, GIB, QUEUES, dataset

from app.contracts.algorithm import Capabilities
from app.contracts.dataset import DistanceSketch
from app.contracts.failures import FailureCode
from app.contracts.states import QueueName
from app.domain.estimate import CHILD_BASELINE_BYTES, estimate, neighbours
from app.domain.routing import Route, choose_queue

LOCAL = Capabilities(exact=True, parallel=False, distributed=False, session=False)
DISTRIBUTED = Capabilities(exact=True, parallel=True, distributed=True, session=True)
SKETCH = DistanceSketch(n=1_000, radii=[0.1, 1.0], mean_neighbours=[2.0, 101.0])


def route(gib: float, override: QueueName | None = None, colocate: bool = False, of: Capabilities = LOCAL) -> Route:
    return choose_queue(int(gib * GIB), of, colocate, override, QUEUES)


def test_the_smallest_queue_that_fits_is_chosen_and_the_sentence_has_the_numbers() -> None:
    assert route(1.2) == Route(QueueName.DEFAULT, "estimated 1.2 GiB ≤ 6.0 GiB of default")
    assert route(11.2) == Route(
        QueueName.HIGH_MEMORY, "estimated 11.2 GiB > 6.0 GiB of default, fits high-memory (32.0 GiB)"
    )
    refused = route(40)
    assert (refused.queue, refused.refusal) == (None, FailureCode.TOO_LARGE)
    assert refused.sentence == "estimated 40.0 GiB > 32.0 GiB of high-memory, the largest queue"


def test_a_queue_is_full_at_its_limit_and_the_sentence_shows_the_difference() -> None:
    assert route(6).queue is QueueName.DEFAULT
    barely = choose_queue(6 * GIB + 2**20, LOCAL, False, None, QUEUES)
    assert barely.queue is QueueName.HIGH_MEMORY
    assert "6.001 GiB > 6.000 GiB" in barely.sentence


def test_distributed_algorithms_run_on_spark_unless_colocated() -> None:
    assert route(100, of=DISTRIBUTED) == Route(QueueName.SPARK, "runs on Spark")
    assert route(1, of=DISTRIBUTED, colocate=True).queue is QueueName.DEFAULT


def test_without_a_spark_queue_a_distributed_algorithm_is_not_available() -> None:
    without = [queue for queue in QUEUES if queue.name is not QueueName.SPARK]
    assert choose_queue(1, DISTRIBUTED, False, None, without).refusal is FailureCode.NOT_AVAILABLE


def test_the_users_choice_wins_if_it_fits() -> None:
    chosen = route(1, override=QueueName.HIGH_MEMORY)
    assert chosen.queue is QueueName.HIGH_MEMORY
    assert "the experiment asks for high-memory" in chosen.sentence
    refused = route(11.2, override=QueueName.DEFAULT)
    assert (refused.queue, refused.refusal) == (None, FailureCode.TOO_LARGE)
    assert "11.2 GiB > 6.0 GiB of default" in refused.sentence


@pytest.mark.parametrize("colocate", [False, True])
def test_the_queue_spark_takes_distributed_algorithms_only(colocate: bool) -> None:
    assert route(1, override=QueueName.SPARK, colocate=colocate, of=DISTRIBUTED).queue is QueueName.SPARK
    refused = route(1, override=QueueName.SPARK, colocate=colocate)
    assert (refused.queue, refused.refusal) == (None, FailureCode.NOT_SUPPORTED)
    assert refused.sentence == "the experiment asks for spark, but that queue runs distributed algorithms only"


def test_priority_takes_only_what_fits_default_although_it_could_hold_more() -> None:
    assert route(6, override=QueueName.PRIORITY).queue is QueueName.PRIORITY
    assert route(7, override=QueueName.PRIORITY).queue is None


@given(gib=st.floats(0, 100), colocate=st.booleans(), distributed=st.booleans())
def test_priority_is_reached_by_the_users_choice_alone(gib: float, colocate: bool, distributed: bool) -> None:
    assert route(gib, colocate=colocate, of=DISTRIBUTED if distributed else LOCAL).queue is not QueueName.PRIORITY


@given(
    small=st.integers(0, 64 * GIB),
    more=st.integers(0, 64 * GIB),
    colocate=st.booleans(),
    override=st.sampled_from([None, *QueueName]),
)
def test_more_bytes_never_lead_to_a_smaller_queue(
    small: int, more: int, colocate: bool, override: QueueName | None
) -> None:
    capacity = {queue.name: queue.memory_bytes for queue in QUEUES}

    def rank(size: int) -> float:
        queue = choose_queue(size, LOCAL, colocate, override, QUEUES).queue
        return float("inf") if queue is None else capacity[queue]

    assert rank(small) <= rank(small + more)


def test_neighbours_follow_the_sketch_in_log_log() -> None:
    assert neighbours(SKETCH, 0.1, 1_000) == pytest.approx(2.0)
    assert neighbours(SKETCH, 10**-0.5, 1_000) == pytest.approx(11.0)
    assert neighbours(SKETCH, 1.0, 1_000) == pytest.approx(101.0)


def test_a_sample_has_its_share_of_the_neighbours_and_the_point_itself() -> None:
    assert neighbours(SKETCH, 1.0, 100) == pytest.approx(11.0)


def test_outside_the_sketch_the_curve_continues_and_ends_at_all_points() -> None:
    assert neighbours(SKETCH, 0.01, 1_000) == pytest.approx(1.01, abs=0.001)
    assert neighbours(SKETCH, 1e300, 1_000) == 1_000


@st.composite
def sketches(draw: st.DrawFn) -> DistanceSketch:
    n = draw(st.integers(2, 10**7))
    radii = sorted(draw(st.sets(st.floats(1e-9, 1e9), min_size=2, max_size=12)))
    counts = sorted(draw(st.lists(st.floats(1, n), min_size=len(radii), max_size=len(radii))))
    return DistanceSketch(n=n, radii=radii, mean_neighbours=counts)


@given(
    sketch=sketches(),
    eps=st.tuples(st.floats(1e-12, 1e12), st.floats(1e-12, 1e12)),
    sizes=st.tuples(st.integers(1, 10**7), st.integers(1, 10**7)),
)
def test_neighbours_never_fall_when_eps_or_the_sample_grows(
    sketch: DistanceSketch, eps: tuple[float, float], sizes: tuple[int, int]
) -> None:
    low, high = sorted(eps)
    few, many = sorted(min(size, sketch.n) for size in sizes)
    fewest = neighbours(sketch, low, few)
    assert 1 <= fewest <= neighbours(sketch, high, few) * (1 + 1e-9)
    assert fewest <= neighbours(sketch, low, many) * (1 + 1e-9)
    assert neighbours(sketch, high, many) <= sketch.n


def test_a_sample_needs_its_child_its_data_and_its_fit() -> None:
    facts = dataset(n=1_000, d=3)
    needed = estimate(CATALOGUE["tree"], {"eps": 0.1}, facts, 500, threads=1)
    assert needed.fit.peak_bytes > 0
    assert needed.total_bytes == CHILD_BASELINE_BYTES + 500 * 3 * 8 + needed.fit.peak_bytes
