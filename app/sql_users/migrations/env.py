"""Alembic runs this file for each command. The connection is that of app/sql_users/__main__.py."""

from alembic import context  # type: ignore[import-not-found, unused-ignore]

# An app in the same database has its own `alembic_version`.
context.configure(
    connection=context.config.attributes["connection"], version_table="stack_users_version"
)
with context.begin_transaction():
    context.run_migrations()
