"""Work of a dataset: one preparation flow run per attempt."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import update

from app.clock import now
from app.contracts.states import DatasetState, QueueName
from app.db.models import Dataset
from app.dispatcher.context import Context
from app.gateways.prefect import DeploymentSpec
from app.gateways.prefect_names import run_key

PREPARE_FLOW = "prepare-dataset"
DEPLOYMENT = DeploymentSpec(
    flow=PREPARE_FLOW,
    name="datasets",
    entrypoint="flows.prepare_dataset.prepare_dataset",
    queue=QueueName.DEFAULT,
    tags=("corepoint",),
)


async def submit(context: Context, dataset_id: UUID) -> datetime | None:
    """A pending dataset without a flow run gets one."""
    async with context.database.read() as session:
        dataset = await session.get(Dataset, dataset_id)
    if dataset is None or dataset.state is not DatasetState.PENDING or dataset.flow_run_id is not None:
        return None
    deployment_id = await context.prefect.ensure_deployment(DEPLOYMENT)
    flow_run_id = await context.prefect.create_flow_run(
        deployment_id,
        key=run_key(dataset.id, dataset.attempt),
        name=f"dataset-{dataset.name}-a{dataset.attempt}",
        parameters={"dataset_id": str(dataset.id), "attempt": dataset.attempt},
        tags=("corepoint", f"dataset:{dataset.name}"),
    )
    async with context.database.write() as session:
        await session.execute(
            update(Dataset)
            .where(
                Dataset.id == dataset.id,
                Dataset.attempt == dataset.attempt,
                Dataset.state == DatasetState.PENDING,
            )
            .values(flow_run_id=flow_run_id, submitted_at=now(), version=Dataset.version + 1)
        )
    return None
