"""PostgreSQL, the only SQL. The spool's hot statements run on asyncpg, the nouns of the API on SQLAlchemy Core."""
