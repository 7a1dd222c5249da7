"""A local PostgreSQL and a local QuestDB for people and tests: no Docker, no root needed."""
