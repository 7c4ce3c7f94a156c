"""Alembic's entry: runs the migrations on the connection, and in the transaction, that `Journal.migrate` holds."""

from alembic import context

from gateway.journal.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
