"""Servers that use two timeouts and a task group for each request, and what drives them from another process."""
