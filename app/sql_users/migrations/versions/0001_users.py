"""The table of users."""

import sqlalchemy as sql
from alembic import op  # type: ignore[import-not-found, unused-ignore]

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "stack_users",
        sql.Column("id", sql.Text, primary_key=True),
        sql.Column("canonical_name", sql.Text, nullable=False),
        sql.Column("name", sql.Text, nullable=False),
        sql.Column("password_hash", sql.Text, nullable=False),
        sql.Column("active", sql.Boolean, nullable=False),
        sql.Column("roles", sql.JSON, nullable=False),
        sql.Column("created_at", sql.Double, nullable=False),
        sql.Column("epoch", sql.BigInteger, nullable=False),
        sql.Column("details", sql.JSON, nullable=False),
        sql.UniqueConstraint("canonical_name", name="stack_users_canonical_name"),
    )
    op.create_index("stack_users_in_order", "stack_users", ["created_at", "id"])
