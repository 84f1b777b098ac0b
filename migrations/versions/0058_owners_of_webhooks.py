"""Store the owners of outgoing webhooks.

That is who has created it, or else an owner of the organization.
"""

import sqlalchemy as sa
from alembic import op

revision = "0058"
down_revision = "0057"
branch_labels = None
depends_on = None


def upgrade() -> None:
    key = sa.ForeignKey("users.id", ondelete="SET NULL", name="fk_webhook_endpoints_owner_user_id")
    op.add_column("webhook_endpoints", sa.Column("owner_user_id", sa.Uuid(), key))
    op.create_index("ix_webhook_endpoints_owner_user_id", "webhook_endpoints", ["owner_user_id"])
    op.execute(
        """
        update webhook_endpoints as endpoint set owner_user_id = coalesce(
            (
                select member.user_id from activity_events as event
                join organization_members as member
                on member.user_id = event.user_id
                and member.organization_id = event.organization_id
                and member.role in ('owner', 'admin')
                where event.organization_id = endpoint.organization_id
                and event.type = 'webhook_endpoint.created'
                and event.data ->> 'endpoint_id' = endpoint.id::text
                limit 1
            ),
            (
                select member.user_id from organization_members as member
                where member.organization_id = endpoint.organization_id and member.role = 'owner'
                order by member.created_at, member.id limit 1
            )
        )
        """
    )


def downgrade() -> None:
    op.drop_column("webhook_endpoints", "owner_user_id")
