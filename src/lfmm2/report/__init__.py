"""Pictures of a finished run, and the HTML page that shows them."""

from lfmm2.report import plots
from lfmm2.report.report_writer import check_report, write_report

__all__ = ["check_report", "plots", "write_report"]
