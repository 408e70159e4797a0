"""Rules of a trial's own pod: how much memory it gets, and what happens when that was too little."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.contracts.failures import FailureCode
from app.contracts.states import QueueName
from app.domain.isolation import sample_limit
from app.domain.retry import after_failure

GIB = 2**30
SIZES = st.integers(1, 2**45)


@given(predicted=SIZES, queue=SIZES)
def test_an_estimate_that_is_30_percent_too_low_still_fits_unless_the_queue_ends_before(
    predicted: int, queue: int
) -> None:
    limit = sample_limit(predicted, None, queue)
    assert limit <= queue
    assert limit == queue or limit >= predicted / 0.7


@given(smaller=SIZES, more=st.integers(0, 2**45), queue=SIZES)
def test_a_larger_estimate_never_gets_less(smaller: int, more: int, queue: int) -> None:
    assert sample_limit(smaller + more, None, queue) >= sample_limit(smaller, None, queue)


@given(predicted=st.none() | SIZES, users=SIZES, queue=SIZES)
def test_the_users_limit_counts_whatever_is_estimated_up_to_what_the_queue_has(
    predicted: int | None, users: int, queue: int
) -> None:
    assert sample_limit(predicted, users, queue) == min(users, queue)


def test_small_trials_get_room_for_the_libraries_and_large_ones_half_as_much_again() -> None:
    assert sample_limit(200 << 20, None, 6 * GIB) == 456 << 20
    assert sample_limit(2 * GIB, None, 6 * GIB) == 3 * GIB
    assert sample_limit(5 * GIB, None, 6 * GIB) == 6 * GIB
    assert sample_limit(None, None, 6 * GIB) == 6 * GIB


def test_what_outgrows_its_pod_gets_all_of_the_queue_and_then_the_larger_one() -> None:
    first = after_failure(FailureCode.MEMOUT, QueueName.DEFAULT, limit_is_users=False, below_queue=True)
    assert first is not None
    assert (first.queue, first.reason) == (
        QueueName.DEFAULT,
        "exceeded the memory of its own pod, tried once with all that default has",
    )
    second = after_failure(FailureCode.MEMOUT, QueueName.DEFAULT, limit_is_users=False)
    assert second is not None
    assert second.queue is QueueName.HIGH_MEMORY
    assert after_failure(FailureCode.MEMOUT, QueueName.DEFAULT, limit_is_users=True, below_queue=True) is None
    assert after_failure(FailureCode.TIMEOUT, QueueName.DEFAULT, limit_is_users=False, below_queue=True) is None
