"""Requests of parts of board pages, and what their HTML contains."""

from core.db.engine import TransactionFactory

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


async def keep(transaction: TransactionFactory, *rows: object) -> None:
    """Store rows."""
    async with transaction() as session:
        session.add_all(rows)


def column(html: str, status: str) -> str:
    """Return the HTML of a column."""
    return html.split(f'id="column-{status}"')[1].split('<section class="col')[0]
