"""Normalise datasets, whichever client writes them

A dataset is one row of `datasets`. Older desktops write it as `indicator_datasets` and an ORM as
`stage1_datasets`, views that PostgreSQL updates by itself; others call upsert_stage1_dataset first.
Each generation sends another part of the same facts, in other units; a trigger keeps manifest,
columns and both forms of time in step, makes a slug where none was sent, and lets nothing unknown
erase what is known.

Rows that stand are brought to that form, some at a time; every step is safe to repeat.

Locks: SHARE ROW EXCLUSIVE on datasets for an instant; row locks of one batch of the fill.
Revision ID: 0008
Revises: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"

FILES = (
    "stage1_current_dataset",
    "stage1_slug",
    "stage1_checked_slug",
    "stage1_suffixed_slug",
    "stage1_spare_slug",
    "stage1_free_slug",
    "stage1_clear_slug",
    "stage1_epoch_ms",
    "stage1_moment",
    "stage1_moment_ms",
    "stage1_time_of_ms",
    "stage1_interval_ms",
    "stage1_granularity",
    "stage1_json_number",
    "stage1_json_integer",
    "stage1_json_object",
    "stage1_changed_keys",
    "stage1_manifest_facts",
    "stage1_time_facts",
    "stage1_column_facts",
    "stage1_with_interval",
    "stage1_with_facts",
    "stage1_normalise_dataset",
    "stage1_touch",
    "datasets_tg_20_normalise",
    "datasets_tg_90_touch",
    "indicator_datasets",
    "stage1_datasets",
    "upsert_stage1_dataset",
)


def upgrade() -> None:
    for name in FILES:
        op.run_sql_file(f"0008/{name}.sql")
    op.backfill("datasets", "0008/backfill.sql", key=["dataset_id"])


def downgrade() -> None:
    op.run_sql_file("0008/drop.sql")
