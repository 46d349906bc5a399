"""What runs in Spark's Python workers: it takes an iterator and names no Spark type."""

from irisspark.workers.asking import FoundLabels, count_lines_before, find_labels
from irisspark.workers.evaluating import Outcome, evaluate
from irisspark.workers.scanning import Group, Sample, ScanTask, WorkerStats
from irisspark.workers.writing import Part, PredictionTask

__all__ = [
    "FoundLabels",
    "Group",
    "Outcome",
    "Part",
    "PredictionTask",
    "Sample",
    "ScanTask",
    "WorkerStats",
    "count_lines_before",
    "evaluate",
    "find_labels",
]
