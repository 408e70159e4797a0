"""Whose going takes the applications along: the worker's ServiceAccount, which goes with the release."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def owner(token: Path = TOKEN) -> dict[str, Any] | None:
    """The ownerReference to the ServiceAccount of this pod, which its own token names; None outside a cluster.

    Kubernetes tells a pod the uid of its ServiceAccount nowhere else without a right to read it
    (kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin, "Schema for … private claims").
    The token is our own, mounted by the kubelet: there is no signature to doubt.
    """
    try:
        payload = token.read_text().split(".")[1]
    except OSError:
        return None
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    account = claims["kubernetes.io"]["serviceaccount"]
    return {"apiVersion": "v1", "kind": "ServiceAccount", "name": account["name"], "uid": account["uid"]}
