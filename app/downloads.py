"""What is filtered, taken out as a file: recorded before it leaves, and nothing lost in silence."""

import hashlib
from collections.abc import Callable, Iterator
from tempfile import SpooledTemporaryFile
from typing import IO, Annotated

import pandas as pd
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse

from app.dials import Address, BadFilterError
from app.doors import Identity, record_export, require
from app.nights import OpenNight
from app.rendering import choose_language, render, speak
from app.staffing import read_staffing
from configs.errors import UsageError
from pipelines.exports.delimited import Encoding, write_delimited
from pipelines.exports.lists import Exported, Format, export_list
from pipelines.exports.workbooks import write_workbook

router = APIRouter(include_in_schema=False)
FORMATS: dict[str, tuple[Format, Encoding | None]] = {
    "csv": ("csv", "utf-8-sig"),
    "csv_cp932": ("csv", "cp932"),
    "xlsx": ("xlsx", None),
    "parquet": ("parquet", None),
}
"""What an address may ask for: the kind of file and the encoding of its text."""

_MEDIA = {
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet",
}
_IN_MEMORY = 16 * 1024 * 1024
_CHUNK = 256 * 1024
_Analyst = Annotated[Identity, Depends(require("analyst"))]


@router.get("/export")
def export_dials(request: Request, _who: _Analyst, format: str = "csv", anyway: bool = False) -> Response:
    """The rows that the list shows for the same address, all of them; what a format lacks is told first."""
    night: OpenNight = request.app.state.nights.current()
    if format not in FORMATS:
        return _refuse(request, night, UsageError(f"format {format}: use one of {', '.join(FORMATS)}"))
    asked = Address.read(request.query_params)
    try:
        chosen = asked.wanted
        kind, encoding = FORMATS[format]
        file, exported = _write(lambda target: export_list(night.connection, chosen, target, kind, None, encoding))
    except (BadFilterError, UsageError) as error:
        return _refuse(request, night, error)
    if exported.remarks and exported.n_rows and not anyway:
        file.close()
        return render(request, "remarks.html.jinja", night=night, remarks=exported.remarks, asked=asked, format=format)
    name = f"call_list_{night.record['run_date']}.{kind}"
    return _send(request, file, name, filter=chosen.spell(), format=format, rows=exported.n_rows)


@router.get("/staffing/export")
def export_staffing(request: Request, _who: _Analyst, format: str = "csv") -> Response:
    """The rows of staffing.csv, as CSV or Excel."""
    night: OpenNight = request.app.state.nights.current()
    slots = read_staffing(night)

    def write(target: IO[bytes]) -> Exported:
        if format == "xlsx":
            created = pd.Timestamp(night.record["run_date"]).date()
            return Exported(len(slots), tuple(write_workbook(iter([slots]), target, created)))
        return Exported(len(slots), tuple(write_delimited(iter([slots]), target, "utf-8-sig")))

    if format not in ("csv", "xlsx"):
        return _refuse(request, night, UsageError(f"format {format}: use csv or xlsx"))
    file, exported = _write(write)
    name = f"staffing_{night.record['run_date']}.{format}"
    return _send(request, file, name, filter="staffing", format=format, rows=exported.n_rows)


def _write(write: Callable[[IO[bytes]], Exported]) -> tuple[IO[bytes], Exported]:
    """Write into a file of no name, in memory while it is small."""
    file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - it is closed when it has been sent
    try:
        return file, write(file)
    except BaseException:
        file.close()
        raise


def _send(request: Request, file: IO[bytes], name: str, **details: str | int) -> StreamingResponse:
    """Record the export, then let it leave."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    record_export(request, **details, sha256=digest)
    file.seek(0)
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(_chunks(file), media_type=_MEDIA[name.rpartition(".")[2]], headers=headers)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _refuse(request: Request, night: OpenNight, error: Exception) -> Response:
    heading = speak("no_export", choose_language(request))
    return render(request, "message.html.jinja", 400, night=night, heading=heading, text=str(error), command="")
