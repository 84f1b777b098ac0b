"""Give columns the names of the attributes that read them.

Stop the processes of earlier versions before it runs: they use the earlier names. Nothing was
released with these, so the rule that earlier versions keep running is not worth two columns.
"""

from alembic import op

revision = "0090"
down_revision = "0089"
branch_labels = None
depends_on = None

COLUMNS = (
    ("agent_messages", "told_as", "delivery_events"),
    ("agent_messages", "run", "turn_number"),
    ("agent_messages", "losses", "lost_count"),
    ("agent_messages", "next_try_at", "waiting_since"),
    ("agent_messages", "due_at", "next_attempt_at"),
    ("agent_tokens", "sealed", "encrypted_token"),
    ("agents", "written", "provisioning_state"),
    ("approvals", "settles_at", "finalizes_at"),
    ("approvals", "asked_back_at", "clarification_requested_at"),
    ("gateways", "held_by", "lease_holder"),
    ("gateways", "held_until", "lease_expires_at"),
    ("gateways", "sealed_token", "encrypted_token"),
    ("gateways", "sealed_device", "encrypted_device"),
    ("gateways", "sealed_device_token", "encrypted_device_token"),
    ("gateway_departures", "sealed_token", "encrypted_token"),
    ("gateway_departures", "sealed_device", "encrypted_device"),
    ("gateway_departures", "sealed_device_token", "encrypted_device_token"),
    ("idempotency_keys", "answer", "encrypted_response"),
    ("marketplace_skills", "metadata", "extra"),
    ("skill_packs", "metadata", "extra"),
    ("users", "removal_event_id", "unread_removal_event_id"),
)
INDEXES = (
    ("ix_agent_messages_state_next_try_at", "ix_agent_messages_state_waiting_since"),
    ("ix_approvals_settles_at", "ix_approvals_finalizes_at"),
)
CONSTRAINTS = (
    ("agent_messages", "ck_agent_messages_run", "ck_agent_messages_turn_number"),
    ("gateways", "ck_gateways_held", "ck_gateways_lease"),
)


def upgrade() -> None:
    for table, earlier, name in COLUMNS:
        op.alter_column(table, earlier, new_column_name=name)
    for earlier, name in INDEXES:
        op.execute(f"alter index {earlier} rename to {name}")
    for table, earlier, name in CONSTRAINTS:
        op.execute(f"alter table {table} rename constraint {earlier} to {name}")


def downgrade() -> None:
    for table, earlier, name in CONSTRAINTS:
        op.execute(f"alter table {table} rename constraint {name} to {earlier}")
    for earlier, name in INDEXES:
        op.execute(f"alter index {name} rename to {earlier}")
    for table, earlier, name in COLUMNS:
        op.alter_column(table, name, new_column_name=earlier)
