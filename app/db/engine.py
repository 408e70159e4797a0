"""The engine and the unit of work: one transaction, one commit, wake the dispatcher if there is work (ADR 0001)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from app.settings import DatabaseSettings

NOTIFY_CHANNEL = "corepoint_work"
APPLICATION = "corepoint"
_WAKE = "corepoint_wake"
_LISTEN_CHECK_SECONDS = 5.0  # how late a broken connection is noticed


def request_wake(session: AsyncSession) -> None:
    """The dispatcher is to look for work once this transaction is committed."""
    session.info[_WAKE] = True


class Database:
    """Sessions of one process. `read` never writes; `write` commits once at its end, or not at all."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self.work_arrived = asyncio.Event()
        self.engine = _make_engine(settings)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._checkout_seconds = settings.checkout_seconds
        # SQLite upgrades a read transaction to a write one by failing; asking for the write lock first waits instead.
        self._writer = self.engine.execution_options(corepoint_write=True)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        async with AsyncSession(self.engine, expire_on_commit=False, autoflush=False) as session:
            await self._check_out(session)
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        async with AsyncSession(self._writer, expire_on_commit=False) as session:
            async with session.begin():
                await self._check_out(session)
                yield session
                wake = session.info.get(_WAKE, False)
                if wake and not self.is_sqlite:
                    await session.execute(text(f"NOTIFY {NOTIFY_CHANNEL}"))
            if wake:
                self.work_arrived.set()

    async def _check_out(self, session: AsyncSession) -> None:
        """A connection that answers, or TimeoutError. SQLite has one writer after the other, and its own limit."""
        if not self.is_sqlite:
            async with asyncio.timeout(self._checkout_seconds):
                await session.connection()

    async def listen(self) -> None:
        """Set `work_arrived` whenever another process commits work, until cancelled (PostgreSQL only).

        A connection that breaks is made again; meanwhile the dispatcher's polling finds the work.
        """
        if self.is_sqlite:
            return
        while True:
            with suppress(OSError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError):
                async with self.engine.connect() as connection:
                    raw = await connection.get_raw_connection()
                    driver: asyncpg.Connection = raw.driver_connection
                    await driver.add_listener(NOTIFY_CHANNEL, lambda *_: self.work_arrived.set())
                    while not driver.is_closed():
                        await asyncio.sleep(_LISTEN_CHECK_SECONDS)
                        await driver.execute("SELECT 1")
            await asyncio.sleep(_LISTEN_CHECK_SECONDS)

    async def close(self) -> None:
        await self.engine.dispose()


def _make_engine(settings: DatabaseSettings) -> AsyncEngine:
    url = settings.url.get_secret_value()
    if url.startswith("sqlite"):
        engine = create_async_engine(url, connect_args={"timeout": settings.busy_seconds})
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    return create_async_engine(
        url,
        pool_size=settings.pool_size,
        max_overflow=settings.max_overflow,
        pool_timeout=settings.connect_seconds,
        pool_pre_ping=True,
        connect_args={
            "timeout": settings.connect_seconds,
            "command_timeout": settings.statement_seconds,
            "server_settings": {
                "application_name": APPLICATION,
                "statement_timeout": str(int(settings.statement_seconds * 1000)),
                "idle_in_transaction_session_timeout": str(int(settings.idle_seconds * 1000)),
            },
        },
    )


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own implicit BEGIN would defeat ours
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # acknowledged means committed, power loss included
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("corepoint_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
