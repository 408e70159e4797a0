"""Every table. Importing this package completes `Base.metadata`."""

from app.db.models.access import ApiKey, IdempotencyRecord
from app.db.models.base import Base
from app.db.models.dataset import Dataset, Upload
from app.db.models.experiment import Deployment, Experiment
from app.db.models.listening import Listening
from app.db.models.run import Batch, Event, Run, Trial
from app.db.models.work import Work, WorkKind

__all__ = [
    "ApiKey",
    "Base",
    "Batch",
    "Dataset",
    "Deployment",
    "Event",
    "Experiment",
    "IdempotencyRecord",
    "Listening",
    "Run",
    "Trial",
    "Upload",
    "Work",
    "WorkKind",
]
