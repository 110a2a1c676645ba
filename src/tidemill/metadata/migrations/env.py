"""Runs migrations on the connection that `tidemill.metadata.database.migrate` holds open."""

from __future__ import annotations

from alembic import context

from tidemill.metadata.table import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables,
    render_as_batch=True,
    # The caller's transaction holds the whole way from the old version to the new.
    transactional_ddl=False,
)
context.run_migrations()
