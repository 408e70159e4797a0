"""Whom the API server says its front proxy is; the data are those of ConfigMap extension-apiserver-authentication."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.metrics.trust import FileTrust, PublishedTrust, Trust, TrustError, parse_trust
from app.settings import MetricsSettings

AUTHORITY = "-----BEGIN CERTIFICATE-----\n"


def test_names_and_authority_are_read() -> None:
    data = {"requestheader-client-ca-file": AUTHORITY, "requestheader-allowed-names": '["front-proxy-client","b"]'}
    assert parse_trust(data) == Trust(AUTHORITY, frozenset({"front-proxy-client", "b"}))


@pytest.mark.parametrize(
    ("names", "certificate", "admitted"),
    [
        ({"front-proxy-client"}, {"front-proxy-client"}, True),
        ({"front-proxy-client"}, {"admin"}, False),
        ({"front-proxy-client"}, set(), False),
        (set(), {"anybody"}, True),
    ],
)
def test_a_name_is_admitted_if_it_is_listed_or_none_is(names: set[str], certificate: set[str], admitted: bool) -> None:
    assert Trust(AUTHORITY, frozenset(names)).admits(certificate) is admitted


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "aggregation layer"),
        ({"requestheader-client-ca-file": "\n"}, "aggregation layer"),
        ({"requestheader-client-ca-file": AUTHORITY, "requestheader-allowed-names": "front"}, "no JSON"),
        ({"requestheader-client-ca-file": AUTHORITY, "requestheader-allowed-names": '"front"'}, "no list"),
        ({"requestheader-client-ca-file": AUTHORITY, "requestheader-allowed-names": "[1]"}, "no list"),
    ],
)
def test_what_does_not_say_whom_to_trust_is_refused(data: dict[str, str], said: str) -> None:
    with pytest.raises(TrustError, match=said):
        parse_trust(data)


async def test_without_kubernetes_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(
        TrustError, match=r"extension-apiserver-authentication-reader.*COREPOINT_METRICS__CLIENT_CA_FILE"
    ):
        await PublishedTrust(limit_seconds=1.0).read()


async def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match=r"CLIENT_CA_FILE.*ca\.pem"):
        await FileTrust(MetricsSettings(client_ca_file=tmp_path / "ca.pem")).read()
