"""A finished trial is not measured again where nothing that could change its result or time has changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from app.contracts.canonical import digest
from app.contracts.experiment import ExperimentSpec, Protocol
from app.contracts.measurement import Environment
from app.contracts.states import RunTrigger, TrialState
from app.db.models import Batch, Run, Trial, WorkKind
from app.db.work import want
from app.runs.events import record
from app.runs.guarded import change_trial


async def reuse_finished(
    session: AsyncSession, run: Run, batch: Batch, trials: Sequence[Trial], *, environment: Environment, now: datetime
) -> list[Trial]:
    """Give every one of these pending trials its reuse key, and adopt what was measured under the same key before.

    Returns the trials that are still to be measured. Those of a preview get no key, so that nobody adopts them.
    """
    if run.trigger is RunTrigger.PREVIEW:
        return list(trials)
    protocol = ExperimentSpec.model_validate(run.spec).protocol
    keys = {trial.id: reuse_key(trial, batch, protocol, environment) for trial in trials}
    known = await _measured(session, set(keys.values())) if _reuses(protocol, run.trigger) else {}
    left: list[Trial] = []
    for trial in trials:
        key = keys[trial.id]
        original = known.get(key)
        if original is None:
            await change_trial(session, trial, reuse_key=key)
            left.append(trial)
        else:
            await _adopt(session, run, trial, original, now)
    return left


def reuse_key(trial: Trial, batch: Batch, protocol: Protocol, environment: Environment) -> str:
    identity: dict[str, Any] = {
        "dataset": trial.dataset_sha256,
        "sample_size": trial.sample_size,
        "sample_seed": trial.sample_seed,
        "algorithm": trial.algorithm,
        "algorithm_version": trial.algorithm_version,
        "parameters": trial.parameters,
        "seed": trial.seed,
        "protocol": protocol.model_dump(mode="json", exclude={"reuse"}),
        "queue": batch.queue.value,
        "cpu_model": environment.cpu_model,
        "cpu_quota": environment.cpu_quota,
        "image": environment.image,
    }
    return digest(identity)


def _reuses(protocol: Protocol, trigger: RunTrigger) -> bool:
    if protocol.reuse is not None:
        return protocol.reuse == "auto"
    return trigger is not RunTrigger.SCHEDULED  # a daily comparison that reused yesterday's would measure nothing


async def _measured(session: AsyncSession, keys: set[str]) -> dict[str, Trial]:
    """By key: the newest original, never a copy."""
    trials = (
        await session.scalars(
            select(Trial)
            .where(Trial.reuse_key.in_(keys), Trial.state == TrialState.SUCCEEDED, Trial.reused_from.is_(None))
            .order_by(Trial.run_id)
            .options(undefer(Trial.manifest))
        )
    ).all()
    kept = await _kept(session, {trial.run_id for trial in trials})
    return {trial.reuse_key: trial for trial in trials if trial.reuse_key is not None and trial.run_id in kept}


async def _kept(session: AsyncSession, run_ids: set[UUID]) -> set[UUID]:
    """Those of the runs that have their artifacts and keep them until this transaction ends.

    An ended run is locked: retention, which holds it exclusively, either sees what refers to it or has deleted it
    before. A run that goes on is not: retention leaves it alone, and two claims could wait for each other.
    """
    if not run_ids:
        return set()
    usable = select(Run.id).where(Run.id.in_(run_ids), Run.artifacts_deleted_at.is_(None)).order_by(Run.id)
    ended = await session.scalars(usable.where(Run.finished_at.is_not(None)).with_for_update(read=True))
    going = await session.scalars(usable.where(Run.finished_at.is_(None)))
    return {*ended, *going}


async def _adopt(session: AsyncSession, run: Run, trial: Trial, original: Trial, now: datetime) -> None:
    await change_trial(
        session,
        trial,
        state=TrialState.SUCCEEDED,
        reuse_key=original.reuse_key,
        reused_from=original.id,
        reused_run_id=original.run_id,
        measured_batch_id=original.measured_batch_id,
        manifest_key=original.manifest_key,
        manifest=original.manifest,
        fit_seconds_median=original.fit_seconds_median,
        memory=original.memory,
        quality=original.quality,
    )
    await want(session, WorkKind.TRIAL, trial.id, now)
    text = f"{trial.label}: the result of trial {original.id} is reused"
    record(session, run.id, now, "trial_reused", text, trial_id=str(trial.id), original_id=str(original.id))
