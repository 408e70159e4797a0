"""Departed: Prefect keeps a row for every worker name it ever met, and each pod has a new one."""

from __future__ import annotations

from app.dispatcher.context import Context


async def reconcile(context: Context) -> int:
    """Where pods are workers, offline rows that are no pod (any more) are deleted."""
    if context.kubernetes is None:
        return 0
    offline = await context.prefect.offline_workers()
    if not offline:
        return 0
    pods = {pod.name for pod in await context.kubernetes.worker_pods()}
    departed = [name for name in offline if name not in pods]
    for name in departed:
        await context.prefect.delete_worker(name)
    return len(departed)
