from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.comparisons.facts import run_facts, trial_facts
from app.contracts.comparison import Comparison
from app.contracts.dataset import PreparedDataset
from app.datasets import service as datasets
from app.db.models import Run, Trial
from app.domain.comparison import compare
from app.resources import Resources
from app.runs import service as runs
from workers.algorithms.adapter import Adapter

_EVERY_TRIAL = 1_000_000  # runs are bounded by MAX_TRIALS; statistics need all of them


async def comparison(resources: Resources, run_id: UUID) -> Comparison:
    """Of the trials as they are now. Raises RefusedError not_found."""
    async with resources.database.read() as session:
        run, experiment = await runs.demand(session, run_id)
        trials = await runs.measured_trials(session, run_id, -1, _EVERY_TRIAL)
        prepared = await datasets.prepared_versions(session, sorted({trial.dataset for trial in trials}))
    # Bootstraps over every trial: far too long for the event loop.
    return await asyncio.to_thread(_compare, run, experiment, list(trials), prepared, resources.catalogue)


async def report(resources: Resources, run_id: UUID) -> str:
    found = await comparison(resources, run_id)
    return await asyncio.to_thread(resources.render_report, found)


async def demand_run(resources: Resources, run_id: UUID) -> None:
    async with resources.database.read() as session:
        await runs.demand(session, run_id)


def _compare(
    run: Run,
    experiment: str,
    trials: list[Trial],
    prepared: Mapping[str, PreparedDataset],
    catalogue: Mapping[str, Adapter[Any]],
) -> Comparison:
    return compare(run_facts(run, experiment), [trial_facts(trial, prepared, catalogue) for trial in trials])
