"""Write each debug report of asyncio about cancellation to $ASYNCBIS_REPORTS.

Put this folder on PYTHONPATH and set PYTHONASYNCIODEBUG=1: when the process ends, all that asyncio/_cancel_debug.py has logged or
warned of is appended to that file, one JSON object a line, with the test that pytest was running and the stack, whatever a test suite
does to loggers and warnings.
"""

import atexit
import json
import os
import sys
import warnings

from asyncio import _cancel_debug

_logger = _cancel_debug.logger
_pid = os.getpid()
_reports = []


def _note(kind, text):
    stack = []
    frame = sys._getframe(2)
    while frame is not None and len(stack) < 12:
        stack.append(f'{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}')
        frame = frame.f_back
    _reports.append({'kind': kind, 'test': os.environ.get('PYTEST_CURRENT_TEST'), 'text': text, 'stack': stack})


@atexit.register
def _write():
    if os.getpid() == _pid and _reports:
        with open(os.environ['ASYNCBIS_REPORTS'], 'a', encoding='utf-8') as file:
            file.writelines(f'{json.dumps(report)}\n' for report in _reports)


class _Logger:
    @staticmethod
    def warning(message, *args):
        _note('log', message % args)
        _logger.warning(message, *args)


class _Warnings:
    @staticmethod
    def warn(message, category, *, skip_file_prefixes):
        _note('warning', message)
        warnings.warn(message, category, skip_file_prefixes=(*skip_file_prefixes, __file__))


_cancel_debug.logger = _Logger
_cancel_debug.warnings = _Warnings
