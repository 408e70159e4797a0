"""How long the tests of faults last: whole by `make faults`, shortened by QUICK=1 (.ci/run)."""

from __future__ import annotations

import os
from typing import Final

WHOLE: Final = os.environ.get("QUICK", "") in {"", "0"}
OUTAGE_SECONDS: Final = 60.0 if WHOLE else 16.0
"""Above the lease of the place (10 s), or nothing would be shown."""
FROZEN_SECONDS: Final = 60.0 if WHOLE else 20.0
"""Above the lease of a row of work there (12 s)."""
STORE_AWAY_SECONDS: Final = 120.0 if WHOLE else 12.0
"""Above the lease of the place."""
WAITING_TRIALS: Final = 300 if WHOLE else 12
"""Written to MLflow when it is back."""
SUBMISSIONS: Final = 200 if WHOLE else 40
KILLS: Final = 20 if WHOLE else 8
BEGIN_SECONDS: Final = 150.0
"""Bound on what comes before the fault, on a busy machine; no test is about it."""
