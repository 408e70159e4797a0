"""Work of a trial: its result stands in MLflow. MLflow may be away for as long as it likes."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import undefer

from app.clock import now
from app.contracts.measurement import TrialManifest
from app.contracts.states import RunTrigger
from app.db.models import Experiment, Run, Trial
from app.dispatcher.context import Context, NotYetError
from app.gateways.mlflow import MlflowAwayError, MlflowGateway


async def mirror(context: Context, trial_id: UUID) -> datetime | None:
    """A succeeded trial, measured by this run, has an MLflow run; a reused one points at the original's."""
    if context.mlflow is None:
        return None
    query = (
        select(Trial, Experiment.name)
        .join(Run, Run.id == Trial.run_id)
        .join(Experiment, Experiment.id == Run.experiment_id)
        # Among measurements, a preview's figures would be taken for one.
        .where(Trial.id == trial_id, Run.trigger != RunTrigger.PREVIEW)
        .options(undefer(Trial.manifest))
    )
    async with context.database.read() as session:
        row = (await session.execute(query)).one_or_none()
    if row is None:
        return None
    trial, experiment = row
    if trial.manifest is None or trial.mlflow_run_id is not None or trial.reused_from is not None:
        return None
    try:
        await _write(context, context.mlflow, experiment, trial)
    except MlflowAwayError as error:
        # Not together: a thousand may wait, and each turn of each costs a write to our own database.
        away = context.settings.mlflow.away_seconds
        due_at = now() + timedelta(seconds=random.uniform(away, 2 * away))  # noqa: S311 - no secret
        raise NotYetError(str(error), due_at) from error
    return None


async def _write(context: Context, mlflow: MlflowGateway, experiment: str, trial: Trial) -> None:
    manifest = TrialManifest.model_validate(trial.manifest)
    tags = {"corepoint.dataset": trial.dataset, "corepoint.experiment": experiment}
    mlflow_run_id = await mlflow.mirror(experiment, trial.label, manifest, tags)
    first = update(Trial).where(Trial.id == trial.id, Trial.mlflow_run_id.is_(None)).values(mlflow_run_id=mlflow_run_id)
    async with context.database.write() as session:
        written = cast("CursorResult[Any]", await session.execute(first)).rowcount == 1
        known = await session.scalar(select(Trial.mlflow_run_id).where(Trial.id == trial.id))
    if not written and known != mlflow_run_id:
        # Another dispatcher was first, because this one was frozen; or the experiment was deleted meanwhile.
        await mlflow.delete(mlflow_run_id)
