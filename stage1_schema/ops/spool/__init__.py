"""The desktop's spool file into PostgreSQL: whole, quick, and nothing in it lost."""

from stage1_schema.ops.spool.likeness import NoSpoolError
from stage1_schema.ops.spool.listing import ALL, KINDS, Kept, Which, discard, left_out, listing
from stage1_schema.ops.spool.replay import Options, replay, source_of
from stage1_schema.ops.spool.report import IN_QUARANTINE, Counts, Report
from stage1_schema.ops.spool.session import session

__all__ = [
    "ALL",
    "IN_QUARANTINE",
    "KINDS",
    "Counts",
    "Kept",
    "NoSpoolError",
    "Options",
    "Report",
    "Which",
    "discard",
    "left_out",
    "listing",
    "replay",
    "session",
    "source_of",
]
