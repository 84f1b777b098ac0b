"""The words of tasks, comments, memory, boards and souls, and an index on them."""

import re

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

NONE = "null::varchar"

SEARCHED = {
    "tasks": f"title, description, {NONE}",
    "task_comments": f"{NONE}, message, {NONE}",
    "board_memory": f"{NONE}, content, {NONE}",
    "board_group_memory": f"{NONE}, content, {NONE}",
    "boards": "name, description, objective",
    "souls": f"title, content, {NONE}",
}


def apart(text: str) -> str:
    """Return the SQL of a text that is cut off where it is too long, and has blanks for signs."""
    signs = re.sub(r"([\[\]\\^-])", r"\\\1", SIGNS).replace("'", "''")
    return f"regexp_replace(left({text}, {LONGEST}), '[{signs}]', ' ', 'g')"


def upgrade() -> None:
    title = apart("coalesce(title, '')")
    text = apart("coalesce(body, '') || ' ' || coalesce(more, '')")
    signature = "words_of(title varchar, body varchar, more varchar) returns tsvector"
    words = (
        f"setweight(to_tsvector('pg_catalog.simple'::regconfig, {title}), 'A') "
        f"|| to_tsvector('pg_catalog.simple'::regconfig, {text})"
    )
    run = op.get_bind().exec_driver_sql
    run(f"create function {signature} language sql immutable parallel safe return {words}")
    for table, columns in SEARCHED.items():
        run(
            f"alter table {table} add column words tsvector "
            f"generated always as (words_of({columns})) stored"
        )
        run(f"create index ix_{table}_words on {table} using gin (words)")
