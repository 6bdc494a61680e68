"""The type stubs of asyncbis's asyncio, made from those that come with mypy or pyright.

    python -m asyncbis_stubs --help
"""

__version__ = '1.0.0'
