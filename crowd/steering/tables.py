"""Figures as CSV. PURE: knows rows and columns, and that a cell may become a formula in a spreadsheet."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

# What a spreadsheet would take for the beginning of a formula, or skip in search of one.
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """RFC 4180 with a heading; what is not there is empty."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return written.getvalue()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return harmless(value)
    return value


def harmless(text: str) -> str:
    """The text, with an apostrophe before what a spreadsheet would calculate."""
    return f"'{text}" if text.startswith(_DANGEROUS) else text
