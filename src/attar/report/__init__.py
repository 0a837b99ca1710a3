"""Reports: one HTML file that shows a condensed set, or several side by side."""

from attar.report.comparison import Row
from attar.report.entries import Entry, read_entries
from attar.report.several import write_comparison
from attar.report.single import write_report

__all__ = ["Entry", "Row", "read_entries", "write_comparison", "write_report"]
