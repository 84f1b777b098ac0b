"""Add an indexed search vector to tasks, comments, memory, boards and souls."""

import re

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

PUNCTUATION = (
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡¿«»\u2039\u203a“”„\u2018\u2019\u201a\u2013—…·•→←\u00a0"
    "、。\uff0c\uff01\uff1f\uff1a\uff1b\uff08\uff09「」『』"
)
MAX_LENGTH = 100_000  # searchable characters per text; a tsvector cannot store more

NONE = "null::varchar"

SEARCHED = {
    "tasks": f"title, description, {NONE}",
    "task_comments": f"{NONE}, message, {NONE}",
    "board_memory": f"{NONE}, content, {NONE}",
    "board_group_memory": f"{NONE}, content, {NONE}",
    "boards": "name, description, objective",
    "souls": f"title, content, {NONE}",
}


def searchable_sql(text: str) -> str:
    """Return SQL that truncates a text and replaces punctuation with blanks."""
    signs = re.sub(r"([\[\]\\^-])", r"\\\1", PUNCTUATION).replace("'", "''")
    return f"regexp_replace(left({text}, {MAX_LENGTH}), '[{signs}]', ' ', 'g')"


def upgrade() -> None:
    title = searchable_sql("coalesce(title, '')")
    text = searchable_sql("coalesce(body, '') || ' ' || coalesce(more, '')")
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
