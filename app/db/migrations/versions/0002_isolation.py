"""isolation of batches, and their own memory limit"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _isolation() -> sa.Column[str]:
    return sa.Column("isolation", sa.String(length=32), nullable=False, server_default="process")


def upgrade() -> None:
    op.add_column("batch", _isolation())
    op.add_column("batch", sa.Column("memory_limit_bytes", sa.BigInteger(), nullable=True))
    op.drop_index(op.f("ix_batch_queue_state"), table_name="batch")
    op.create_index(op.f("ix_batch_state_isolation_queue"), "batch", ["state", "isolation", "queue"], unique=False)
    with op.batch_alter_table("deployment", schema=None) as batch_op:
        batch_op.add_column(_isolation())
        batch_op.drop_constraint(batch_op.f("pk_deployment"), type_="primary")
        batch_op.create_primary_key(batch_op.f("pk_deployment"), ["experiment_id", "queue", "isolation"])


def downgrade() -> None:
    # Registered again when a batch wants it; beside the one for workers it has no place in the old key.
    op.execute("DELETE FROM deployment WHERE isolation <> 'process'")
    with op.batch_alter_table("deployment", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("pk_deployment"), type_="primary")
        batch_op.create_primary_key(batch_op.f("pk_deployment"), ["experiment_id", "queue"])
        batch_op.drop_column("isolation")
    op.drop_index(op.f("ix_batch_state_isolation_queue"), table_name="batch")
    op.create_index(op.f("ix_batch_queue_state"), "batch", ["queue", "state"], unique=False)
    # Not as a batch operation: SQLite would make the table anew, and dropping the old one takes the trials with it.
    op.drop_column("batch", "memory_limit_bytes")
    op.drop_column("batch", "isolation")
