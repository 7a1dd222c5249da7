"""The declared PostgreSQL tables. Importing this package fills `Base.metadata`."""

from stage1_schema.models.base import Base
from stage1_schema.models.datasets import Dataset
from stage1_schema.models.jobs import Job
from stage1_schema.models.simulations import (
    SimulationRun,
    SimulationTrade,
    SimulationTradeBucket,
)
from stage1_schema.models.spool import SpoolQuarantine, SpoolReplay, SpoolUnit
from stage1_schema.models.walkforward import WalkforwardFold, WalkforwardRun

metadata = Base.metadata

__all__ = [
    "Base",
    "Dataset",
    "Job",
    "SimulationRun",
    "SimulationTrade",
    "SimulationTradeBucket",
    "SpoolQuarantine",
    "SpoolReplay",
    "SpoolUnit",
    "WalkforwardFold",
    "WalkforwardRun",
    "metadata",
]
