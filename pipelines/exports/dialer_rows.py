"""Rows as a dialler wants them, with telephone numbers that no run holds."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from configs.errors import UsageError
from configs.presets import ExportColumn, ExportPreset
from configs.settings import Settings
from features.columns import CUSTOMER_COLUMNS, parse_table
from pipelines.exports.delimited import spell_column
from pipelines.exports.remarks import Remark
from pipelines.sources import read_source

_BARRED = Remark("the source bars them by now", "元データで架電禁止になっています")


@dataclass(frozen=True)
class PhoneBook:
    """Who can be dialled, as the source says when the file is written; never kept in a run.

    Attributes
    ----------
    phones
        Telephone number by customer_id, of customers whom the source does not bar.
    barred
        Ids of those whom it bars by now, or of whom it cannot be told.
    """

    phones: "pd.Series[str]"
    barred: frozenset[str]


def read_phone_book(source: str, settings: Settings) -> PhoneBook:
    """Read telephone numbers and bars from the customers table of a source.

    Of several rows of one customer the first number counts, and a bar in any of them bars.

    Raises
    ------
    SourceError, ContractError
        The source cannot be read, or its customers table lacks a column.
    """
    raw = read_source(source, settings).tables["customers"]
    people = parse_table("customers", raw, CUSTOMER_COLUMNS, settings.timezone).frame.dropna(subset=["customer_id"])
    barred = frozenset(people.loc[people["do_not_call"].fillna(True).astype(bool), "customer_id"])
    known = people[~people["customer_id"].isin(barred)].dropna(subset=["phone"]).drop_duplicates("customer_id")
    return PhoneBook(known.set_index("customer_id")["phone"], barred)


class DialerRows:
    """Turns rows of the list into a dialler's, and counts what had to be left out.

    Raises
    ------
    UsageError
        The preset names a column that is not there, or wants telephone numbers and there is no phone book.
    """

    def __init__(self, preset: ExportPreset, columns: list[str], book: PhoneBook | None) -> None:
        if preset.needs_phone and book is None:
            raise UsageError(f"preset {preset.name} needs telephone numbers, which no run holds: add --source SOURCE")
        known = {*columns, "phone"}
        unknown = [
            column.column for column in preset.columns if column.column is not None and column.column not in known
        ]
        if unknown:
            raise UsageError(f"preset {preset.name}: no column {unknown[0]}: use {', '.join(sorted(known))}")
        self.preset = preset
        self._book = book
        self._left_out: Counter[Remark] = Counter()
        self._n_tentative = 0

    def shape(self, batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """Give every batch the preset's columns, as texts."""
        for rows in batches:
            yield self._shape(rows)

    def remarks(self) -> list[Remark]:
        """Say what was left out, and that later days will be planned again."""
        told = [
            Remark(f"{n:,} rows left out: {why}", f"{n:,} 行を除きました：{why.japanese}")
            for why, n in self._left_out.items()
        ]
        if self._n_tentative:
            n = self._n_tentative
            told.append(
                Remark(
                    f"{n:,} rows are of later days, which tonight plans again: firm=yes leaves them out",
                    f"{n:,} 行は翌日以降の予定で、今夜あらためて計画されます：firm=yes で除けます",
                )
            )
        return told

    def _shape(self, rows: pd.DataFrame) -> pd.DataFrame:
        if self._book is not None:
            rows = rows.assign(phone=rows["customer_id"].map(self._book.phones))
            rows = self._keep(rows, ~rows["customer_id"].isin(self._book.barred), _BARRED)
        spelled = pd.DataFrame({column.name: _fill(column, rows) for column in self.preset.columns}, index=rows.index)
        for column in self.preset.columns:
            if column.required:
                missing = Remark(f"they have no {column.column}", f"{column.column} がありません")
                spelled = self._keep(spelled, spelled[column.name] != "", missing)
        self._n_tentative += int((~rows.loc[spelled.index, "is_firm"].astype(bool)).sum())
        return spelled.reset_index(drop=True)

    def _keep(self, rows: pd.DataFrame, is_kept: "pd.Series[bool]", why: Remark) -> pd.DataFrame:
        if not is_kept.all():
            self._left_out[why] += int((~is_kept).sum())
        return rows[is_kept]


def _fill(column: ExportColumn, rows: pd.DataFrame) -> "pd.Series[str]":
    if column.column is None:
        return pd.Series(column.constant or "", index=rows.index, dtype="str")
    given = rows[column.column]
    if column.time_format is not None and pd.api.types.is_datetime64_any_dtype(given):
        texts = given.dt.strftime(column.time_format).fillna("")
    else:
        texts = spell_column(given)
    if column.codes or column.otherwise is not None:
        other = texts if column.otherwise is None else column.otherwise
        texts = texts.map(column.codes).fillna(other)
    if column.digits_only:
        texts = texts.str.replace(r"[^0-9]", "", regex=True)
    cut: pd.Series[str] = texts.str.slice(0, column.max_length)
    return cut
