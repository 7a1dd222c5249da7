"""Add placeholders for parents that were never recorded

Spool files hold runs whose dataset, and simulations whose run, no client ever wrote. A placeholder
lets them in, deliberately and marked; the real row takes its place when it arrives, by whichever
INSERT a client sends. A real dataset of another id but the same slug takes its runs and
simulations; the placeholder's id goes on meaning this dataset.

Operators make one by hand, with an INSERT that invents times: it is recognised and marked as well.

Locks: SHARE ROW EXCLUSIVE on datasets and walkforward_runs for an instant.
Revision ID: 0011
Revises: 0010
"""

from alembic import op

revision = "0011"
down_revision = "0010"

FILES = (
    "stage1_prepare_placeholder",
    "stage1_replace_dataset_placeholder",
    "stage1_replace_run_placeholder",
    "stage1_unused_placeholders",
    "stage1_merge_placeholders",
    "datasets_tg_05_prepare_placeholder",
    "datasets_tg_10_placeholder",
    "datasets_tg_40_merge_placeholders",
    "walkforward_runs_tg_10_placeholder",
    "ensure_dataset_placeholder",
    "ensure_run_placeholder",
)


def upgrade() -> None:
    for name in FILES:
        op.run_sql_file(f"0011/{name}.sql")


def downgrade() -> None:
    op.run_sql_file("0011/drop.sql")
