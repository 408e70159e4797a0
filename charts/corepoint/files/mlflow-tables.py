# MLflow's server refuses tables of an older version. Its own command takes the database's URL, password included, as an
# argument, which everybody on the node can read. An empty database is left to the server.
import os

from mlflow.db import upgrade
from sqlalchemy import create_engine, inspect

url = os.environ["MLFLOW_BACKEND_STORE_URI"]
if inspect(create_engine(url)).has_table("alembic_version"):
    upgrade.callback(url)
