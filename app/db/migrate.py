"""Bring a database to a revision. The only way tables are made, in tests too."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

_MIGRATIONS = Path(__file__).parent / "migrations"


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    if connection is not None:
        config.attributes["connection"] = connection
    return config


def head() -> str:
    """The newest revision. Raises if there is more than one."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None, "no migrations"  # noqa: S101 - shipped with the package
    return revision


def revisions() -> list[str]:
    """All of them, the first one first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


def knows(revision: str) -> bool:
    """Whether this version has the revision. One it has not was made by a newer version: migrations only add."""
    return any(script.revision == revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


async def migrate(engine: AsyncEngine, revision: str = "head") -> None:
    """Upgrade to `revision`, or downgrade when it is `base` or older than the present one (`-1`)."""

    def run(connection: Connection) -> None:
        step = command.downgrade if revision == "base" or revision.startswith("-") else command.upgrade
        step(_config(connection), revision)

    async with engine.connect() as connection:
        await connection.run_sync(run)
        await connection.commit()


async def current(engine: AsyncEngine) -> str | None:
    """The revision the database is at; None for an empty one."""
    async with engine.connect() as connection:
        return await connection.run_sync(lambda c: MigrationContext.configure(c).get_current_revision())
