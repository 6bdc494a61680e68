"""pytest plugin: what tornado's own test runner does, whose tests fail on
unexpected log records: its access log is off."""
import logging


def pytest_configure(config):
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)
