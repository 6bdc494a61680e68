"""Differential testing of asyncbis against Trio: see README.md."""
