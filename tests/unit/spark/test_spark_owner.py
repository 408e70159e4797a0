"""Applications belong to the ServiceAccount that the worker's own token names."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from workers.spark.submit.owner import owner


@pytest.mark.parametrize("name", ["a", "ab", "abc", "corepoint-spark-worker"])  # every length of padding
def test_the_token_names_the_owner(tmp_path: Path, name: str) -> None:
    claims = {"kubernetes.io": {"namespace": "corepoint", "serviceaccount": {"name": name, "uid": "0f-1"}}}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    token = tmp_path / "token"
    token.write_text(f"e30.{payload}.signature")
    assert owner(token) == {"apiVersion": "v1", "kind": "ServiceAccount", "name": name, "uid": "0f-1"}


def test_outside_a_cluster_there_is_none(tmp_path: Path) -> None:
    assert owner(tmp_path / "none") is None
