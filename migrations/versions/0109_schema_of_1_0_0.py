"""Create the schema of release 1.0.0."""

import re
from pathlib import Path

from alembic import op
from sqlalchemy import text

revision = "0109"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = Path(__file__).parent.parent / "schema.sql"


def upgrade() -> None:
    connection = op.get_bind()
    name = connection.scalar(text("select quote_ident(current_schema())"))
    statements = SCHEMA.read_text()
    if name != "public":
        statements = re.sub(r"\bpublic(?=\.|, pg_temp)", lambda _: name, statements)
    # asyncpg runs many statements only without parameters, which SQLAlchemy always sends.
    connection.connection.dbapi_connection.run_async(lambda driver: driver.execute(statements))
