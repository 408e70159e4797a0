"""pinned runs, deleted artifacts, and how far a schedule is accounted for"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("pinned", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("run", sa.Column("artifacts_deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f("ix_run_finished_at"), "run", ["finished_at"], unique=False)
    op.add_column("experiment", sa.Column("scheduled_until", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    # Not as batch operations: SQLite would make the tables anew, and dropping the old ones takes the rows below along.
    op.drop_column("experiment", "scheduled_until")
    op.drop_index(op.f("ix_run_finished_at"), table_name="run")
    op.drop_column("run", "artifacts_deleted_at")
    op.drop_column("run", "pinned")
