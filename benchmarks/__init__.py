"""How fast asyncio is here, against stock asyncio and other libraries.  README.md says how this works."""
