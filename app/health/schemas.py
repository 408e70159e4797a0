from __future__ import annotations

from typing import Literal

from app.contracts.base import Message


class Liveness(Message):
    status: Literal["alive"] = "alive"


class Check(Message):
    name: str
    ok: bool
    seconds: float
    reason: str = ""


class Readiness(Message):
    """`checks` only on `?verbose=true`. A dependency that work can wait for is degraded, and the API still ready."""

    status: Literal["ready", "degraded"]
    checks: list[Check] = []


class Version(Message):
    version: str
    api: str = "v1"
    schema_revision: str
