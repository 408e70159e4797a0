"""Run by Alembic: online only, on the connection that `app.db.migrate` hands over."""

from alembic import context
from sqlalchemy import text

from app.db.models import Base

connection = context.config.attributes["connection"]
if connection.dialect.name == "postgresql":
    # A migration that waits for a lock would queue every request behind it (Polar's figure).
    connection.execute(text("SET lock_timeout = '5s'"))
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
