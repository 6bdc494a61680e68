"""The survey: other projects' own tests, on stock CPython and on the patched one.  See README.md."""
