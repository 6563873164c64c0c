"""Logs: one JSON object a line, on stderr."""

import logging
import sys

import structlog

from crowd.core.config import SettingsError

LEVELS = ("debug", "info", "warning", "error")


def configure_logs(level: str = "info") -> None:
    """Have every structlog logger write JSON to stderr. Raises SettingsError for an unknown level."""
    if level not in LEVELS:
        raise SettingsError(f"CROWD_LOG_LEVEL: one of {', '.join(LEVELS)} is needed, not {level!r}")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=_to_stderr,
        cache_logger_on_first_use=False,
    )


def _to_stderr(*_names: object) -> structlog.WriteLogger:
    # Looked up anew: whoever captures stderr replaces it.
    return structlog.WriteLogger(sys.stderr)
