"""Results -> text, JSON and CSV, and whether they are good enough."""

from __future__ import annotations

from irisspark.report.documents import confusion_csv, history_csv, to_json
from irisspark.report.gate import check_requirement_names, unmet
from irisspark.report.results import document, files, text

__all__ = [
    "check_requirement_names",
    "confusion_csv",
    "document",
    "files",
    "history_csv",
    "text",
    "to_json",
    "unmet",
]
