"""A real Prefect server of this test run alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.embedded.services import PLANNING
from tests.part import Part, answers, free_ports, inherited


def prefect_part(folder: Path, database_url: str, auth_string: str | None = None) -> tuple[Part, int]:
    """A server that is not started yet, and its port. `auth_string`: user:password that clients must give."""
    [port] = free_ports(1)
    user, _, password = (auth_string or "").partition(":")
    environment = {
        **inherited(),
        "PREFECT_HOME": os.fspath(folder),
        "PREFECT_API_DATABASE_CONNECTION_URL": database_url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        **PLANNING,
        **({"PREFECT_SERVER_API_AUTH_STRING": auth_string} if auth_string else {}),
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}/api/ready"
    auth = (user, password) if auth_string else None
    part = Part("prefect", command, folder / "server.log", lambda: answers(url, auth), environment=environment)
    return part, port


@contextmanager
def prefect_server(folder: Path) -> Iterator[str]:
    """On SQLite: its API's address while the context lasts; its log is in `folder`."""
    part, port = prefect_part(folder, f"sqlite+aiosqlite:///{folder / 'prefect.db'}")
    try:
        part.start()
        part.wait_until_ready()
        yield f"http://127.0.0.1:{port}/api"
    finally:
        part.end()
