"""The gate's report: one HTML file that opens without a network."""

from evaluation.report.build import Side, build_report

__all__ = ["Side", "build_report"]
