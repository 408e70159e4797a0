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
    op.add_column("run", sa.Column("urgent", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(op.f("ix_run_finished_at"), "run", ["finished_at"], unique=False)
    op.add_column("trial", sa.Column("reused_run_id", sa.Uuid(), nullable=True))
    op.execute(
        "UPDATE trial SET reused_run_id = (SELECT original.run_id FROM trial AS original"
        " WHERE original.id = trial.reused_from) WHERE reused_from IS NOT NULL"
    )
    op.create_index(op.f("ix_trial_reused_run_id"), "trial", ["reused_run_id"], unique=False)
    op.add_column("experiment", sa.Column("scheduled_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("experiment", sa.Column("scheduled_next", sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f("ix_experiment_scheduled_next"), "experiment", ["scheduled_next"], unique=False)
    # The reconciler of missed times looks at these, and finds out whether they have a schedule, and its next time.
    op.execute("UPDATE experiment SET scheduled_next = CURRENT_TIMESTAMP")
    op.create_table(
        "listening",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_listening")),
    )


def downgrade() -> None:
    op.drop_table("listening")
    # Not as batch operations: SQLite would make the tables anew, and dropping the old ones takes the rows below along.
    op.drop_index(op.f("ix_experiment_scheduled_next"), table_name="experiment")
    op.drop_column("experiment", "scheduled_next")
    op.drop_column("experiment", "scheduled_until")
    # What the version before does not know it could not read.
    op.execute("DELETE FROM work WHERE kind IN ('run_objects', 'dataset_objects', 'upload')")
    op.drop_index(op.f("ix_trial_reused_run_id"), table_name="trial")
    op.drop_column("trial", "reused_run_id")
    op.drop_index(op.f("ix_run_finished_at"), table_name="run")
    op.drop_column("run", "urgent")
    op.drop_column("run", "artifacts_deleted_at")
    op.drop_column("run", "pinned")
