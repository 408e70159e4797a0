"""Work of a trial: its result stands in MLflow. MLflow may be away for as long as it likes."""

from __future__ import annotations

import asyncio
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import undefer

from app.contracts.measurement import TrialManifest
from app.db.models import Experiment, Run, Trial
from app.dispatcher.context import Context


async def mirror(context: Context, trial_id: UUID) -> datetime | None:
    """A succeeded trial, measured by this run, has an MLflow run; a reused one points at the original's."""
    if context.mlflow is None:
        return None
    query = (
        select(Trial, Experiment.name)
        .join(Run, Run.id == Trial.run_id)
        .join(Experiment, Experiment.id == Run.experiment_id)
        .where(Trial.id == trial_id)
        .options(undefer(Trial.manifest))
    )
    async with context.database.read() as session:
        row = (await session.execute(query)).one_or_none()
    if row is None:
        return None
    trial, experiment = row
    if trial.manifest is None or trial.mlflow_run_id is not None or trial.reused_from is not None:
        return None
    manifest = TrialManifest.model_validate(trial.manifest)
    tags = {"corepoint.dataset": trial.dataset, "corepoint.experiment": experiment}
    mlflow_run_id = await asyncio.to_thread(context.mlflow.mirror, experiment, trial.label, manifest, tags)
    async with context.database.write() as session:
        await session.execute(update(Trial).where(Trial.id == trial_id).values(mlflow_run_id=mlflow_run_id))
    return None
