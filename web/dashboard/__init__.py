"""The dashboard: figures, charts, and what needs attention."""
