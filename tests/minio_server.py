"""A real S3 server for tests: MinIO, as hack/minio-build makes it."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from pydantic import SecretStr

from app.contracts.store import StoreConfig
from tests.part import Part, answers, free_ports

BUILD = Path(__file__).parents[1] / "hack" / "minio-build"


def minio_part(folder: Path) -> tuple[Part, StoreConfig]:
    """A server that is not started yet, and how it is reached. Its data and its log lie in `folder`."""
    binary = subprocess.run([BUILD], check=True, capture_output=True, text=True, timeout=900).stdout.strip()
    access, secret = secrets.token_hex(8), secrets.token_hex(16)
    [port] = free_ports(1)
    environment = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "MINIO_ROOT_USER": access,
        "MINIO_ROOT_PASSWORD": secret,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "GOMAXPROCS": "2",
    }
    endpoint = f"http://127.0.0.1:{port}"
    part = Part(
        "minio",
        [binary, "server", "--quiet", "--address", f"127.0.0.1:{port}", str(folder / "data")],
        folder / "log",
        lambda: answers(f"{endpoint}/minio/health/ready"),
        environment=environment,
    )
    return part, StoreConfig(kind="s3", endpoint=endpoint, access_key=access, secret_key=SecretStr(secret))


@contextmanager
def minio_server(folder: Path, *buckets: str) -> Iterator[StoreConfig]:
    """A MinIO server on a free port, with these buckets, as long as the context lasts. Its data lies in `folder`."""
    part, config = minio_part(folder)
    assert config.secret_key is not None
    try:
        part.start()
        part.wait_until_ready()
        client = boto3.client(
            "s3",
            endpoint_url=config.endpoint,
            aws_access_key_id=config.access_key,
            aws_secret_access_key=config.secret_key.get_secret_value(),
            region_name=config.region,
        )
        for bucket in buckets:
            client.create_bucket(Bucket=bucket)
        client.close()
        yield config
    finally:
        part.end()
