"""One Alembic history for the PostgreSQL and QuestDB schemas of Stage1."""
