"""A store that misbehaves delays an attempt and ends nothing; a cancelled attempt waits for no store.

MinIO behind a TCP proxy of ours. Seed: none. Expected: every object whole, once; a stop is heard within a second.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

import boto3
import botocore.auth
import pytest

from app.contracts.objects import ObjectExistsError, ObjectMissingError, ObjectStore, StoreUnavailableError
from app.contracts.store import StoreConfig
from app.gateways.objects import open_store
from tests.faults.tcp_proxy import TcpProxy
from tests.minio_server import minio_server
from workers.measure.control import Cancelled, Control, Drained
from workers.patient_store import PatientStore, once

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")
AWAY_SECONDS = 1.5
MIB = 1 << 20


@pytest.fixture(scope="module")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreConfig]:
    with minio_server(tmp_path_factory.mktemp("minio"), "corepoint") as config:
        yield config


@pytest.fixture
def way(minio: StoreConfig) -> Iterator[TcpProxy]:
    """From us to the store."""
    proxy = TcpProxy(int(str(minio.endpoint).rpartition(":")[2]))
    yield proxy
    proxy.close()


@pytest.fixture
def near(minio: StoreConfig) -> ObjectStore:
    return open_store(minio)


@pytest.fixture
def s3(minio: StoreConfig) -> Iterator[S3Client]:
    assert minio.secret_key is not None
    client = boto3.client(
        "s3",
        endpoint_url=minio.endpoint,
        aws_access_key_id=minio.access_key,
        aws_secret_access_key=minio.secret_key.get_secret_value(),
        region_name=minio.region,
    )
    yield client
    client.close()


@pytest.fixture
def far(minio: StoreConfig, way: TcpProxy) -> ObjectStore:
    return open_store(minio.model_copy(update={"endpoint": f"http://127.0.0.1:{way.port}"}))


@pytest.fixture
def control() -> Control:
    return Control()


@pytest.fixture
def patient(far: ObjectStore, control: Control) -> PatientStore:
    return PatientStore(far, control, 60.0)


@pytest.fixture
def key() -> str:
    return f"{uuid4()}/object"


def meanwhile(call: Callable[[], T]) -> Future[T]:
    pool = ThreadPoolExecutor(1)
    future = pool.submit(call)
    pool.shutdown(wait=False)
    return future


def test_an_outage_delays_every_call_and_changes_no_answer(
    patient: PatientStore, near: ObjectStore, way: TcpProxy, key: str, tmp_path: Path
) -> None:
    near.put(key, b"there")
    (tmp_path / "file").write_bytes(b"a file")
    folder = key.removesuffix("object")

    def everything() -> None:
        assert patient.get(key) == b"there"
        with pytest.raises(ObjectMissingError):
            patient.get(f"{folder}missing")
        patient.put_once(f"{folder}new", b"once")
        with pytest.raises(ObjectExistsError):
            patient.put_once(key, b"too late")
        patient.upload(f"{folder}file", tmp_path / "file")
        patient.download(f"{folder}file", tmp_path / "copy")
        assert list(patient.keys(folder)) == [f"{folder}file", f"{folder}new", key]

    way.cut()
    done = meanwhile(everything)
    time.sleep(AWAY_SECONDS)
    assert not done.done()
    way.heal()
    done.result(30)
    assert (tmp_path / "copy").read_bytes() == b"a file"


def test_a_large_upload_that_is_reset_on_the_way_arrives_whole_and_leaves_no_parts(
    patient: PatientStore, s3: S3Client, way: TcpProxy, key: str, tmp_path: Path
) -> None:
    body = os.urandom(MIB) * 20
    (tmp_path / "large").write_bytes(body)
    way.reset_after(5 * MIB)  # less than a part
    done = meanwhile(lambda: patient.upload(key, tmp_path / "large"))
    time.sleep(AWAY_SECONDS)
    assert not s3.list_objects_v2(Bucket="corepoint", Prefix=key).get("Contents"), "half an object is no object"
    way.heal()
    done.result(40)
    assert s3.get_object(Bucket="corepoint", Key=key)["Body"].read() == body
    assert s3.list_multipart_uploads(Bucket="corepoint", Prefix=key).get("Uploads", []) == []


def test_a_store_at_a_trickle_is_waited_for(patient: PatientStore, near: ObjectStore, way: TcpProxy, key: str) -> None:
    way.throttle(4_000)
    patient.put_once(key, b"x" * 6_000)
    way.heal()
    assert near.size(key) == 6_000


@pytest.mark.parametrize("silent", [True, False])
def test_a_cancel_is_heard_while_the_store_says_nothing(
    patient: PatientStore, control: Control, way: TcpProxy, key: str, silent: bool
) -> None:
    (way.blackhole if silent else way.cut)()
    done = meanwhile(lambda: patient.get(key))
    time.sleep(0.3)
    control.cancelled.set()
    with pytest.raises(Cancelled):
        done.result(5)
    way.heal()


def test_who_has_to_leave_tries_once_more_and_does_not_wait(
    patient: PatientStore, far: ObjectStore, control: Control, way: TcpProxy, key: str
) -> None:
    assert isinstance(control.draining, threading.Event)
    control.draining.set()
    patient.put(key, b"there")
    way.cut()
    with pytest.raises(Drained):
        patient.get(key)
    with pytest.raises(StoreUnavailableError):
        once(patient).get(key)
    assert once(far) is far


def test_patience_ends(far: ObjectStore, control: Control, way: TcpProxy, key: str) -> None:
    way.blackhole()
    with pytest.raises(StoreUnavailableError, match="did not finish within 1 s"):
        PatientStore(far, control, 1.0).get(key)
    way.heal()


def test_clocks_that_differ_are_named(near: ObjectStore, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: datetime.now(UTC) - timedelta(hours=1))
    with pytest.raises(StoreUnavailableError, match=r"RequestTimeTooSkewed: the clocks .* NTP"):
        near.put(key, b"late")
