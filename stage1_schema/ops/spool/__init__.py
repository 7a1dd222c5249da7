"""The desktop's spool file into PostgreSQL: whole, quick, and nothing in it lost."""

from stage1_schema.ops.spool.feed import statements
from stage1_schema.ops.spool.quarantine import Kept, discard, listing
from stage1_schema.ops.spool.replay import Options, replay
from stage1_schema.ops.spool.report import IN_QUARANTINE, Counts, Report
from stage1_schema.ops.spool.session import session

__all__ = [
    "IN_QUARANTINE",
    "Counts",
    "Kept",
    "Options",
    "Report",
    "discard",
    "listing",
    "replay",
    "session",
    "statements",
]
