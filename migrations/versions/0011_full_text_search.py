"""Indexes for the search over tasks, comments, memory, boards and souls."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SIGNS = (
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡¿«»\u2039\u203a“”„\u2018\u2019\u201a\u2013—…·•→←\u00a0"
    "、。\uff0c\uff01\uff1f\uff1a\uff1b\uff08\uff09「」『』"
)
LONGEST = 100_000  # characters of a text that are searched; more would not fit into a tsvector

INDEXED = {
    "tasks": "title, description, null",
    "task_comments": "null, message, null",
    "board_memory": "null, content, null",
    "board_group_memory": "null, content, null",
    "boards": "name, description, objective",
    "souls": "title, content, null",
}


def apart(text: str) -> str:
    """Return the SQL of a text that is cut off where it is too long, and has blanks for signs."""
    signs = SIGNS.replace("'", "''")
    return f"translate(left({text}, {LONGEST}), '{signs}', '{' ' * len(SIGNS)}')"


def upgrade() -> None:
    title = apart("coalesce(title, '')")
    text = apart("coalesce(body, '') || ' ' || coalesce(more, '')")
    op.execute(
        "create function words_of(title varchar, body varchar, more varchar) returns tsvector "
        "language sql immutable parallel safe "
        f"return setweight(to_tsvector('pg_catalog.simple'::regconfig, {title}), 'A') "
        f"|| to_tsvector('pg_catalog.simple'::regconfig, {text})"
    )
    for table, columns in INDEXED.items():
        op.execute(f"create index ix_{table}_words on {table} using gin (words_of({columns}))")
