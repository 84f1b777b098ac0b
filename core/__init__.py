"""Provide infrastructure without domain knowledge: settings, database, HTTP, security, errors."""
