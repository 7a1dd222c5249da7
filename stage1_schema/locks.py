"""The advisory locks of a database, in one place so that no two uses share a number.

An upgrade takes UPGRADE_LOCK alone; work that needs the schema to stand still shares it.
"""

from __future__ import annotations

UPGRADE_LOCK = 7_310_001
REPLAY_LOCK = 7_310_002
