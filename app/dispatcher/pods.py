"""Pods of isolated trials: what each is made from, and what is its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from app.contracts.experiment import ExperimentSpec
from app.db.models import Batch, Experiment, Run
from app.runs.limits import memory_limit
from app.settings import Settings


class PodTemplateError(RuntimeError):
    """The base job template of the pods' pool cannot be had."""


def read_template(path: Path | None) -> dict[str, Any]:
    """Raises PodTemplateError."""
    if path is None:
        raise PodTemplateError("isolation by pod needs a base job template: set COREPOINT_PREFECT__POD_TEMPLATE")
    try:
        template = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise PodTemplateError(f"the base job template {path} cannot be read: {error}") from error
    if not isinstance(template, dict) or not {"job_configuration", "variables"} <= template.keys():
        raise PodTemplateError(f"{path} is no base job template: it needs job_configuration and variables")
    return template


def job_variables(batch: Batch, run: Run, experiment: Experiment, settings: Settings) -> dict[str, str]:
    """What the template is filled with for this attempt. Requests are limits, so that nothing is lent or shared."""
    queue = settings.queues[batch.queue]
    sample = memory_limit(batch, ExperimentSpec.model_validate(run.spec).protocol, queue)
    return {
        "name": f"batch-{batch.id}-a{batch.attempt}",
        "cpu": str(queue.threads),
        "memory": str(sample + settings.pods.reserve_bytes),
        "experiment": experiment.name,
        "run": str(run.id),
        "batch": str(batch.id),
        "attempt": str(batch.attempt),
        "queue": batch.queue.value,
    }
