"""What the kubelet is told of a worker."""

from __future__ import annotations

import httpx
import pytest

from workers.health import Liveness, served


@pytest.mark.parametrize(("stale_seconds", "status"), [(60.0, 200), (0.0, 503)])
def test_a_worker_that_turns_is_alive(stale_seconds: float, status: int) -> None:
    with served(Liveness(stale_seconds), 0) as port:
        assert httpx.get(f"http://127.0.0.1:{port}/livez?verbose", timeout=5).status_code == status
        assert httpx.get(f"http://127.0.0.1:{port}/", timeout=5).status_code == 404


def test_a_worker_without_a_port_serves_nothing() -> None:
    with served(Liveness(), None) as port:
        assert port is None
