"""Stands in for the conftest.py that the sdist lacks: the database fixtures of
the tests. Each test gets a new SQLite database in memory, whichever it asks for."""
import pytest_asyncio

from tortoise.context import tortoise_test_context


async def _database():
    async with tortoise_test_context(
        modules=["tests.testmodels"],
        db_url="sqlite://:memory:",
        app_label="models",
        connection_label="models",
    ) as context:
        yield context


db, db_isolated, db_simple, db_truncate = (
    pytest_asyncio.fixture(_database, name=name)
    for name in ("db", "db_isolated", "db_simple", "db_truncate")
)
