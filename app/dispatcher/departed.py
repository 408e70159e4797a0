"""Departed: Prefect keeps a row for every worker name it ever met, and each pod has a new one."""

from __future__ import annotations

from app.dispatcher.context import Context


async def reconcile(context: Context) -> int:
    """Where pods are workers, offline rows that are no pod (any more) are deleted, a page at a time.

    A worker that lives after all says so with its next heartbeat, and has a row again.
    """
    if context.kubernetes is None:
        return 0
    offline = await context.prefect.offline_workers(context.prefect.pool)
    pods = {pod.name for pod in await context.kubernetes.worker_pods()} if offline else set()
    departed = [(context.prefect.pool, name) for name in offline if name not in pods]
    if context.settings.pod_isolation:
        pool = context.prefect.pods_pool
        departed += [(pool, name) for name in await context.prefect.offline_workers(pool)]
    for pool, name in departed:
        await context.prefect.delete_worker(pool, name)
    return len(departed)
