"""A real S3 server for tests: MinIO, as hack/minio-build makes it."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

import boto3
from pydantic import SecretStr

from app.contracts.store import StoreConfig

BUILD = Path(__file__).parents[1] / "hack" / "minio-build"


@contextmanager
def minio_server(folder: Path, *buckets: str) -> Iterator[StoreConfig]:
    """A MinIO server on a free port, with these buckets, as long as the context lasts. Its data lies in `folder`."""
    binary = subprocess.run([BUILD], check=True, capture_output=True, text=True, timeout=900).stdout.strip()
    access, secret = secrets.token_hex(8), secrets.token_hex(16)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    environment = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "MINIO_ROOT_USER": access,
        "MINIO_ROOT_PASSWORD": secret,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "GOMAXPROCS": "2",
    }
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [binary, "server", "--quiet", "--address", address, folder / "data"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_ready(server, f"http://{address}/minio/health/ready", folder / "log")
        client = boto3.client(
            "s3",
            endpoint_url=f"http://{address}",
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            region_name="us-east-1",
        )
        for bucket in buckets:
            client.create_bucket(Bucket=bucket)
        client.close()
        yield StoreConfig(
            kind="s3",
            endpoint=f"http://{address}",
            access_key=access,
            secret_key=SecretStr(secret),
        )
    finally:
        server.terminate()
        server.wait(timeout=20)


def _wait_until_ready(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    limit = time.monotonic() + 60
    while time.monotonic() < limit and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - our own server
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"MinIO did not start: {log.read_text()}")
