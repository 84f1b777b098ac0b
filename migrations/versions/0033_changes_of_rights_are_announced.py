"""Notify of changes of rights, sessions and tokens, so that open streams need not ask for them.

The topic is `rights:` and the id of the user or agent (services/streams.py). Triggers cover
rows that are deleted with others, and changes that other programs make.
"""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

ANNOUNCE = """
    create function announce_rights() returns trigger language plpgsql as $$
    declare
        changed jsonb := case tg_op when 'INSERT' then to_jsonb(new) else to_jsonb(old) end;
        actor text := changed ->> tg_argv[0];
    begin
        if tg_argv[0] = 'organization_member_id' then
            select user_id into actor from organization_members where id = actor::uuid;
        end if;
        if actor is not null then
            perform pg_notify('mission_control', 'rights:' || actor);
        end if;
        return null;
    end $$
"""
TRIGGERS = {
    "sign_ins": ("delete", "user_id"),
    "api_tokens": ("delete", "user_id"),
    "agent_tokens": ("update of ended_at or delete", "agent_id"),
    "agents": ("update of board_id, gateway_id, agent_token_hash or delete", "id"),
    "organization_members": (
        "update of role, all_boards_read, all_boards_write or delete",
        "user_id",
    ),
    "organization_board_access": ("insert or update or delete", "organization_member_id"),
}


def upgrade() -> None:
    op.execute(ANNOUNCE)
    for table, (events, column) in TRIGGERS.items():
        op.execute(
            f"create trigger announce_rights after {events} on {table} "
            f"for each row execute function announce_rights('{column}')"
        )


def downgrade() -> None:
    for table in TRIGGERS:
        op.execute(f"drop trigger announce_rights on {table}")
    op.execute("drop function announce_rights()")
