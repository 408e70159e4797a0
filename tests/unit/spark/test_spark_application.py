"""The SparkApplication of a batch: sizes from the estimate, the object as a golden file, what must not be in it."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from app.contracts.assignment import BatchAssignment, TrialAssignment
from app.contracts.dataset import DistanceSketch, PreparedDataset, Profile
from app.contracts.experiment import Protocol
from app.contracts.states import QueueName
from app.contracts.store import StoreConfig
from workers.settings import SparkSettings, WorkerSettings
from workers.spark.submit import submitter
from workers.spark.submit.application import application_name, spark_application
from workers.spark.submit.local import LocalSubmitter
from workers.spark.submit.operator import OperatorSubmitter
from workers.spark.submit.sizing import sizes

GIB = 2**30
GOLDEN = Path(__file__).parent / "golden" / "spark_application.yaml"
SETTINGS = SparkSettings(
    submitter="operator",
    image="registry.example/corepoint/spark:1.0",
    namespace="bench",
    instance="release",
    objects_secret="store-keys",
    labels={"kueue.x-k8s.io/queue-name": "team"},
)
STORE = StoreConfig(
    kind="s3", endpoint="http://minio:9000", access_key="the-access-key", secret_key=SecretStr("the-secret-key")
)


def assigned(*predicted: int, n: int = 20_000, limit: int = 64 * GIB, users: bool = False) -> BatchAssignment:
    profile = Profile(
        n=n, d=2, rows_read=n, rows_missing=0, rows_infinite=0, rows_outside_box=0, rows_dropped=0, duplicates=0,
        columns=[], sketch=DistanceSketch(n=n, radii=[1.0, 2.0], mean_neighbours=[1.0, 2.0]),
    )  # fmt: skip
    dataset = PreparedDataset(sha256="0" * 64, n=n, d=2, points_key="p", points_sha256="0" * 64, profile=profile)
    trials = [
        TrialAssignment(
            trial_id=UUID(int=number), label="a", algorithm="spark-dbscan", parameters={"eps": 0.1}, dataset=dataset,
            sample_size=n, sample_seed=0, seed=0, predicted_bytes=size,
        )
        for number, size in enumerate(predicted)
    ]  # fmt: skip
    return BatchAssignment(
        batch_id=UUID(int=1), run_id=UUID(int=2), attempt=3, queue=QueueName.SPARK, token="the-batch-token",
        heartbeat_seconds=3, lease_seconds=90, memory_limit_bytes=limit, memory_limit_is_users=users,
        protocol=Protocol(), order_seed=0, trials=trials,
    )  # fmt: skip


def test_the_object_is_the_golden_one() -> None:
    """After a change that is meant: write what the failure shows into the file, and read its difference."""
    batch = assigned(2 * GIB)
    made = spark_application(batch, sizes(batch, SETTINGS), SETTINGS, STORE)
    assert made == yaml.safe_load(GOLDEN.read_text()), yaml.safe_dump(made, sort_keys=False)


def test_no_secret_and_no_address_of_the_control_plane_is_in_it() -> None:
    batch = assigned(2 * GIB)
    text = json.dumps(spark_application(batch, sizes(batch, SETTINGS), SETTINGS, STORE))
    for word in ("the-access-key", "the-secret-key", "the-batch-token", "COREPOINT_API_KEY", "INTERNAL_URL", "PREFECT"):
        assert word not in text


def test_names_and_labels_fit_kubernetes() -> None:
    batch = assigned(GIB).model_copy(update={"batch_id": UUID(int=2**128 - 1), "attempt": 12})
    made = spark_application(batch, sizes(batch, SETTINGS), SETTINGS, STORE)
    assert made["metadata"]["name"] == application_name(batch) == f"batch-{batch.batch_id}-a12"
    assert len(f"{application_name(batch)}-driver") <= 63
    assert all(len(value) <= 63 for value in made["metadata"]["labels"].values())


def test_executors_without_cores_of_their_own_ask_for_little() -> None:
    relaxed = SETTINGS.model_copy(update={"core_limits": False})
    batch = assigned(GIB)
    executor = spark_application(batch, sizes(batch, relaxed), relaxed, STORE)["spec"]["executor"]
    assert executor["coreRequest"] == "100m"
    assert "coreLimit" not in executor


def test_dynamic_allocation_is_off_unless_asked_for() -> None:
    batch = assigned(GIB)
    assert "dynamicAllocation" not in spark_application(batch, sizes(batch, SETTINGS), SETTINGS, STORE)["spec"]
    moving = SETTINGS.model_copy(update={"dynamic_allocation": True})
    spec = spark_application(batch, sizes(batch, moving), moving, STORE)["spec"]
    bounds = {"enabled": True, "initialExecutors": 2, "minExecutors": 2, "maxExecutors": 8}
    assert spec["dynamicAllocation"] == bounds


def test_aws_itself_needs_no_endpoint_and_an_identity_no_keys() -> None:
    batch, identity = assigned(GIB), SETTINGS.model_copy(update={"objects_secret": None})
    spec = spark_application(batch, sizes(batch, identity), identity, StoreConfig(kind="s3"))["spec"]
    assert not [key for key in spec["sparkConf"] if "endpoint" in key or "path.style" in key]
    env = spec["driver"]["template"]["spec"]["containers"][0]["env"]
    assert not [one for one in env if one["name"].startswith("AWS_")]


def test_the_largest_trial_decides_first_by_number_then_by_size() -> None:
    small, more, large = (sizes(assigned(GIB, size), SETTINGS) for size in (GIB, 30 * GIB, 1000 * GIB))
    assert (small.executors, small.executor.bytes) == (2, 3 * GIB // 2)
    assert small.executors < more.executors < 8
    assert (large.executors, large.executor.bytes) == (8, 8 * GIB)


@given(
    predicted=st.integers(0, 2**45),
    limit=st.integers(2**20, 2**45),
    users=st.booleans(),
    least=st.integers(1, 8),
    n=st.integers(1, 10**9),
)
def test_sizes_stay_within_their_bounds(predicted: int, limit: int, users: bool, least: int, n: int) -> None:
    settings = SETTINGS.model_copy(update={"executors": least})
    found = sizes(assigned(predicted, n=n, limit=limit, users=users), settings)
    step = 64 * 2**20
    assert 1 <= found.executors <= settings.executors_max
    assert settings.executor_memory_bytes <= found.executor.bytes <= settings.executor_memory_max_bytes + step
    assert settings.driver_memory_bytes <= found.driver.bytes <= settings.driver_memory_max_bytes + step
    assert found.executor.heap_mib >= 512
    if not users:
        assert found.executors >= least
    elif found.executors > 1:
        assert found.executors * (found.executor.bytes - step) <= limit


def test_more_predicted_bytes_never_mean_less_memory() -> None:
    totals = [
        found.executors * found.executor.bytes
        for found in (sizes(assigned(size), SETTINGS) for size in range(0, 80 * GIB, GIB // 4))
    ]
    assert totals == sorted(totals)


@pytest.mark.parametrize(
    "wrong", [{"executors": 9}, {"executor_memory_bytes": 9 * GIB}, {"image": ""}, {"namespace": ""}, {"typo": 1}]
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SparkSettings.model_validate(SETTINGS.model_dump() | wrong)


def test_only_the_queue_spark_is_submitted_and_only_with_an_operator() -> None:
    remote = WorkerSettings(spark=SETTINGS)
    spark = assigned(GIB)
    assert isinstance(submitter(spark, remote), OperatorSubmitter)
    assert isinstance(submitter(spark.model_copy(update={"queue": QueueName.DEFAULT}), remote), LocalSubmitter)
    assert isinstance(submitter(spark, WorkerSettings()), LocalSubmitter)
