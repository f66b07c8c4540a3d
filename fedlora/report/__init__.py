"""What a run left behind, told to a person: one HTML page, a table, trackers.

Reads run folders and nothing else, so that old runs, and runs that stopped, stay reportable.
"""

from fedlora.report.page import build
from fedlora.report.terminal import as_json, table

__all__ = ["as_json", "build", "table"]
