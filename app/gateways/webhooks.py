"""Webhooks of users: told when a run ends, signed, at most to the hosts an operator allows."""

from __future__ import annotations

import hashlib
import hmac

import httpx
import stamina

from app.settings import NotificationSettings

SIGNATURE_HEADER = "X-Corepoint-Signature"


class WebhookGateway:
    """Close it with `aclose`. Redirects are not followed: they could leave the allowed hosts."""

    def __init__(self, settings: NotificationSettings) -> None:
        self._settings = settings
        self._client = httpx.AsyncClient(timeout=settings.timeout_seconds, follow_redirects=False)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def deliver(self, url: str, body: bytes) -> None:
        """POST `body` as JSON. Raises httpx.HTTPError when attempts are used up, PermissionError for a foreign host."""
        if httpx.URL(url).host not in self._settings.allowed_hosts:
            raise PermissionError(f"host of {url} is not allowed")
        headers = {"Content-Type": "application/json", **self._signature(body)}
        async for attempt in stamina.retry_context(
            on=httpx.HTTPError, attempts=self._settings.attempts, wait_initial=0.5, wait_max=2.0, timeout=None
        ):
            with attempt:
                (await self._client.post(url, content=body, headers=headers)).raise_for_status()

    def _signature(self, body: bytes) -> dict[str, str]:
        if self._settings.secret is None:
            return {}
        key = self._settings.secret.get_secret_value().encode()
        return {SIGNATURE_HEADER: f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"}
