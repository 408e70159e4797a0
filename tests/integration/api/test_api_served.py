"""One look through a real server: sockets, keep-alive, all middlewares."""

from __future__ import annotations

import asyncio
import json
import socket

import httpx
import pytest
import uvicorn
from api_builders import World, experiment_spec

from app.main import create_app

pytestmark = pytest.mark.parametrize("backend", ["sqlite+folder"], indirect=True)


async def test_a_served_api_accepts_refuses_and_survives_what_it_cannot_read(world: World) -> None:
    await world.dataset()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(create_app(world.resources), log_level="critical", lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as api:
            for _ in range(100):
                if server.started:
                    break
                await asyncio.sleep(0.05)
            accepted = await api.post("/v1/experiments", json=experiment_spec(), headers={"X-Request-ID": "r-1"})
            assert (accepted.status_code, accepted.headers["x-request-id"]) == (202, "r-1")
            refused = await api.post(
                "/v1/experiments", content=b"[" * 1000, headers={"Content-Type": "application/json"}
            )
            assert (refused.status_code, refused.json()["code"]) == (400, "invalid_document")
            large = await api.post("/v1/uploads", content=b"1,2\n" * 500_000)
            assert (large.status_code, large.json()["size_bytes"]) == (201, 2_000_000)
            fields = b"Host: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /v1/experiments HTTP/1.1\r\n" + fields + b"{")
            await writer.drain()
            writer.close()
            del reader
            assert (await api.get(accepted.headers["location"])).json()["name"] == "first"
            metrics = (await api.get("/metrics")).text
            assert json.dumps("/v1/experiments") in metrics
    finally:
        server.should_exit = True
        await serving
        listener.close()
