"""The log of a process: one JSON object per line on stderr, or coloured lines on a terminal.

Rule 1: no local variables in tracebacks: a request's body may hold a secret.
"""

import logging
import sys

import structlog


def configure(level: str = "info") -> None:
    """Set up the log of this process; an unknown level is `info`."""
    threshold = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    last: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if sys.stderr.isatty()
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
