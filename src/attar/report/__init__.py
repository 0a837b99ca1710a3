"""The report: one HTML file that shows a condensed set, what it costs and how good it is."""

from attar.report.comparison import Row
from attar.report.page import write_report

__all__ = ["Row", "write_report"]
