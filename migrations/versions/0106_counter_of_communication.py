"""Count the events of each organization that have an origin: comments, messages and chat.

A trigger maintains the number for every writer, also for servers of the previous version. Writers
of these events wait while the migration runs. They are deleted only with their organization. See
docs/decisions/counters.md.
"""

import sqlalchemy as sa
from alembic import op

revision = "0106"
down_revision = "0105"
branch_labels = None
depends_on = None

NAME = "count_event_origins_at_insert"
ADD_ORIGINS = """
    insert into {schema}.organization_counts as kept (organization_id, communication)
    select event.organization_id, count(*)
    from {source} origin join {schema}.activity_events event on event.id = origin.id
    group by 1 order by 1
    on conflict (organization_id)
        do update set communication = kept.communication + excluded.communication;
"""


def upgrade() -> None:
    run = op.get_bind().exec_driver_sql
    schema = run("select quote_ident(current_schema())").scalar_one()
    op.create_table(
        "organization_counts",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("communication", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name="fk_organization_counts_organization_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_organization_counts"),
        sa.UniqueConstraint("organization_id", name="uq_organization_counts_organization_id"),
    )
    run("alter table organization_counts set (fillfactor = 50)")  # updates change no index
    body = ADD_ORIGINS.format(schema=schema, source="rows")
    run(
        f"create function {NAME}() returns trigger language plpgsql as"
        f" $$ begin {body} return null; end $$"
    )
    run(
        f"create trigger {NAME} after insert on event_origins"
        f" referencing new table as rows for each statement execute function {NAME}()"
    )
    run(ADD_ORIGINS.format(schema=schema, source=f"{schema}.event_origins"))


def downgrade() -> None:
    op.execute(f"drop trigger {NAME} on event_origins")
    op.execute(f"drop function {NAME}()")
    op.drop_table("organization_counts")
