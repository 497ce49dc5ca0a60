"""What a night leaves for people and other systems: one folder that appears whole, and one report."""

from pipelines.exports.folders import point_latest, read_latest, replace_folder
from pipelines.exports.report import build_report
from pipelines.exports.writing import write_failed, write_run

__all__ = ["build_report", "point_latest", "read_latest", "replace_folder", "write_failed", "write_run"]
