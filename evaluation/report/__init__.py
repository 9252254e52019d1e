"""The gate's report: one HTML file that opens without a network."""

from evaluation.report.build import Side, build_report
from evaluation.report.seal import is_sealed, seal

__all__ = ["Side", "build_report", "is_sealed", "seal"]
