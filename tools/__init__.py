"""What is behind build.sh: fetches CPython, applies the patch series, builds and tests the result.

Only the standard library is used, and nothing newer than Python 3.9, so that the python3 of the machine will do.
"""
