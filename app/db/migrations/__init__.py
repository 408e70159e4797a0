"""Alembic migrations. `upgrade` brings a database to the newest revision; the chart runs it as a Job."""
