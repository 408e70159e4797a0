"""How a run is asked for: as its experiment says, at once, or as a preview."""

from __future__ import annotations

from pydantic import Field

from app.contracts.base import Message

PREVIEW_ROWS = 1_000
MAX_PREVIEW_ROWS = 10_000
"""Above it a fit may take longer than a preview has."""
MAX_PREVIEW_TRIALS = 100
"""Each takes a second or two, one after the other, and other previews wait behind them."""


class PreviewRequest(Message):
    """A sample of each dataset through the whole path, within seconds. Not a measurement."""

    rows: int = Field(default=PREVIEW_ROWS, ge=1, le=MAX_PREVIEW_ROWS, description="of each dataset, at most")


class RunRequest(Message):
    """POST /v1/experiments/{experiment}/runs. Without a body: a run as the experiment says."""

    preview: PreviewRequest | None = None
    urgent: bool = Field(default=False, description="what fits the queue `default` is measured on `priority`")
