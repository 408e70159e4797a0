"""The Spark driver as its pod runs it, but on a local master: an order in S3 goes in, rounds and manifests come out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.contracts.assignment import BatchAssignment
from app.contracts.failures import FailureCode
from app.contracts.measurement import BatchReport, Round
from app.contracts.objects import (
    ObjectStore,
    assignment_key,
    manifest_key,
    outcome_key,
    rounds_prefix,
    tables_prefix,
)
from app.contracts.store import StoreConfig
from app.gateways.objects import open_store
from tests import spark_batches
from tests.minio_server import minio_server
from workers.settings import SparkSettings
from workers.spark import driver
from workers.spark.submit.application import spark_application
from workers.spark.submit.order import GAVE_BACK, Order
from workers.spark.submit.sizing import sizes

ROOT = Path(__file__).parents[2]
N = 3_000
SETTINGS = SparkSettings(submitter="operator", image="spark", namespace="n")


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreConfig]:
    with minio_server(tmp_path_factory.mktemp("minio"), "corepoint") as config:
        yield config


@pytest.fixture(scope="module")
def store(objects: StoreConfig) -> ObjectStore:
    return open_store(objects)


@dataclass
class Driver:
    """Starts the program with the settings that its application would give it, on `local[2]`."""

    objects: StoreConfig
    store: ObjectStore
    folder: Path

    def start(self, assignment: BatchAssignment) -> subprocess.Popen[bytes]:
        order = Order(
            assignment=assignment.model_copy(update={"token": ""}),
            executors=1, executor_cores=2, executor_bytes=2**31, start_seconds=60, grace_seconds=30,
        )  # fmt: skip
        key = assignment_key(assignment.run_id, assignment.batch_id, assignment.attempt)
        self.store.put(key, order.model_dump_json().encode())
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-P", driver.__file__, key],
                env=self._environment(assignment),
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def run(self, assignment: BatchAssignment) -> BatchReport:
        assert self.start(assignment).wait(120) == 0, self.log()
        key = outcome_key(assignment.run_id, assignment.batch_id, assignment.attempt)
        return BatchReport.model_validate_json(self.store.get(key))

    def log(self) -> str:
        return (self.folder / "log").read_text()[-4_000:]

    def _environment(self, assignment: BatchAssignment) -> dict[str, str]:
        size = sizes(assignment, SETTINGS)
        conf = spark_application(assignment, size, SETTINGS, self.objects)["spec"]["sparkConf"]
        jars = subprocess.run([ROOT / "hack/s3a-jars"], check=True, capture_output=True, text=True).stdout.strip()
        conf |= {
            "spark.driver.extraClassPath": f"{jars}/*",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.port": "0",  # the fixed ones are a pod's own
            "spark.driver.blockManager.port": "0",
            "spark.blockManager.port": "0",
            "spark.ui.port": "0",
            "spark.local.dir": str(self.folder),
            "spark.hadoop.fs.s3a.buffer.dir": str(self.folder / "s3a"),
            # Small fits end before the second compiler's work pays.
            "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
        }
        secret = self.objects.secret_key
        assert secret is not None
        return {
            **{name: os.environ[name] for name in ("PATH", "JAVA_HOME") if name in os.environ},
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_SUBMIT_ARGS": " ".join(
                ["--master", "local[2]", *(f"--conf '{name}={value}'" for name, value in conf.items()), "pyspark-shell"]
            ),
            "COREPOINT_OBJECTS__KIND": "s3",
            "COREPOINT_OBJECTS__ENDPOINT": str(self.objects.endpoint),
            "COREPOINT_OBJECTS__BUCKET": self.objects.bucket,
            "COREPOINT_SCRATCH": str(self.folder / "scratch"),
            "COREPOINT_CACHE": str(self.folder / "cache"),
            "AWS_ACCESS_KEY_ID": str(self.objects.access_key),
            "AWS_SECRET_ACCESS_KEY": secret.get_secret_value(),
        }


@pytest.fixture
def spark(objects: StoreConfig, store: ObjectStore, tmp_path: Path) -> Driver:
    return Driver(objects, store, tmp_path)


def test_a_batch_is_measured_like_on_a_worker(spark: Driver, store: ObjectStore) -> None:
    """Two trials and a round that an earlier attempt has saved: phases, memory by Spark, labels as scikit-learn's."""
    values = spark_batches.points(N)
    dataset = spark_batches.stored_dataset(store, values, spark.folder)
    trials = [spark_batches.trial(dataset, eps, f"eps-{eps}") for eps in (0.08, 0.3)]
    batch = spark_batches.batch(*trials, rounds=1)

    report = spark.run(batch)

    assert [outcome.failure for outcome in report.outcomes] == [None, None], spark.log()
    for trial, outcome in zip(trials, report.outcomes, strict=True):
        manifest = outcome.manifest
        assert manifest is not None
        assert store.exists(manifest_key(batch.run_id, trial.trial_id))
        assert manifest.fingerprint.labels_sha256 == spark_batches.expected_sha256(values, trial.parameters["eps"])
        assert manifest.memory.method == "spark-executor-peaks"
        assert manifest.memory.peak_bytes > manifest.memory.baseline_bytes > 2**27
        assert [sample.round for sample in manifest.samples] == [0, 1]
        cold = manifest.samples[0].phases
        assert None not in {cold.start, cold.load, cold.fit, cold.score, cold.upload}
        assert manifest.samples[1].phases.fit is not None
        assert {sample.fit_cpu_seconds for sample in manifest.samples} == {None}
    assert report.environment.cpu_quota == 2
    assert len(list(store.keys(rounds_prefix(batch.run_id, batch.batch_id)))) == 2
    assert list(store.keys(tables_prefix(batch.run_id, batch.batch_id, 1))) == []


def test_a_sample_that_takes_too_long_is_a_timeout(spark: Driver, store: ObjectStore) -> None:
    dataset = spark_batches.stored_dataset(store, spark_batches.points(400_000), spark.folder)
    batch = spark_batches.batch(spark_batches.trial(dataset, eps=0.5), sample_seconds=2.0)
    report = spark.run(batch)
    failure = report.outcomes[0].failure
    assert failure is not None
    assert failure.code is FailureCode.TIMEOUT, failure
    assert failure.detail["limit_seconds"] == 2.0


def test_sigterm_ends_in_order_and_leaves_nothing_half(spark: Driver, store: ObjectStore) -> None:
    dataset = spark_batches.stored_dataset(store, spark_batches.points(N), spark.folder)
    batch = spark_batches.batch(spark_batches.trial(dataset), rounds=100)
    process = spark.start(batch)
    rounds = rounds_prefix(batch.run_id, batch.batch_id)
    deadline = time.monotonic() + 90
    while not list(store.keys(rounds)) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == GAVE_BACK, spark.log()

    saved = [Round.model_validate_json(store.get(key)) for key in store.keys(rounds)]
    assert saved
    assert all(len(one.samples) == 1 for one in saved)
    assert not store.exists(outcome_key(batch.run_id, batch.batch_id, 1))
    assert list(store.keys(tables_prefix(batch.run_id, batch.batch_id, 1))) == []
