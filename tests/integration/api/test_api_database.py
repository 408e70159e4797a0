"""The tables: migrations go up, down and up again, and make exactly what the models say."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import Connection, inspect

from app.db.engine import Database
from app.db.migrate import current, head, migrate
from app.db.models import Base
from app.settings import DatabaseSettings


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata))


async def test_migrations_go_up_down_and_up_and_the_models_are_what_they_make(empty_url: str) -> None:
    database = Database(DatabaseSettings(url=SecretStr(empty_url)))
    for revision in ("head", "base", "head"):
        await migrate(database.engine, revision)
        assert await current(database.engine) == (head() if revision == "head" else None)
        async with database.engine.connect() as connection:
            tables = await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))
            expected = set(Base.metadata.tables) if revision == "head" else set()
            assert tables - {"alembic_version"} == expected
            if revision == "head":
                assert await connection.run_sync(differences) == []
    await database.close()
