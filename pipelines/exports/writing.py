"""Writing a run: every file of it, in a folder that appears whole."""

from pathlib import Path

import pandas as pd

from pipelines.exports.folders import replace_folder
from pipelines.exports.page_tables import write_page_tables
from pipelines.exports.record import build_record, spell_record
from pipelines.exports.report import build_report
from pipelines.exports.tables import write_call_list, write_excluded, write_rejects, write_shifts, write_staffing
from pipelines.night import Night


def write_run(night: Night, out: Path) -> None:
    """Write everything a run leaves into ``out``, which appears complete or not at all.

    call_list.parquet · call_list.csv · excluded.csv · staffing.csv · shifts.csv (when shifts are planned) ·
    report.html · run.json · quarantine/rejects.csv · page/.
    The same night gives the same bytes. An older run in ``out`` is replaced whole, and kept if anything fails.

    Raises
    ------
    UsageError
        ``out`` is a file, a mount point, or a folder of something else.
    """
    with replace_folder(out, night.run_id) as folder:
        write_call_list(night, folder)
        write_excluded(night, folder)
        write_staffing(night, folder)
        write_shifts(night, folder)
        write_rejects(night.report.rejects, folder / "quarantine")
        write_page_tables(night, folder)
        (folder / "report.html").write_text(build_report(night), encoding="utf-8")
        (folder / "run.json").write_text(spell_record(build_record(night)), encoding="utf-8")


def write_failed(out: Path, rejects: pd.DataFrame, run_id: str = "failed") -> Path:
    """Keep the rejected rows of a night that stopped in ``OUT.failed/rejects.csv``; ``out`` itself is not touched.

    Returns the folder, so that the message can name it.

    Raises
    ------
    UsageError
        ``OUT.failed`` holds something else.
    """
    failed = out.resolve().with_name(f"{out.resolve().name}.failed")
    with replace_folder(failed, run_id, marker="rejects.csv") as folder:
        write_rejects(rejects, folder)
    return failed
