"""One customer: what happened, what the week promises, which dials are planned, and why not another time."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pandas as pd
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from app.alternatives import VERDICTS, judge_slots
from app.grids import Grid, GridCell, lay_out_week
from app.nights import OpenNight
from app.rendering import choose_language, read_words, render, speak
from app.spelling import spell_attribute, spell_instant, spell_slot
from pipelines.exports.heatmaps import find_scale, shade
from pipelines.exports.page_tables import NOT_LAWFUL, PER_UNIT
from pipelines.exports.sentences import percent

router = APIRouter(include_in_schema=False)
EXPLAINED = frozenset({"no_capacity", "no_lawful_slot", "planned_later", "dialled_today"})
"""Reasons for not calling somebody that the week's chances explain; the others bar every slot for good."""
MOST_SIMILAR = 20
MOST_ALTERNATIVES = 5
_HIDDEN = frozenset({"customer_id", "phone", "do_not_call", "listed"})


@dataclass(frozen=True)
class CustomerWeek:
    """What the plan weighs for one customer: a row per slot in order.

    ``slots``: slot_start · price · p (NaN where no call is allowed) · is_planned · verdict (of ``VERDICTS``).
    """

    slots: pd.DataFrame

    def count_verdicts(self) -> dict[str, int]:
        """Slots of each verdict."""
        counted = self.slots["verdict"].value_counts()
        return {verdict: int(counted.get(verdict, 0)) for verdict in VERDICTS}

    def list_alternatives(self) -> list[dict[str, Any]]:
        """The best slots that were not taken, those with a better chance than the planned one where there is one."""
        better = self.slots[self.slots["verdict"].isin(VERDICTS[3:])]
        best = better.sort_values("p", ascending=False, kind="stable").head(MOST_ALTERNATIVES)
        return [{str(key): value for key, value in row.items()} for row in best.to_dict("records")]


@router.get("/customers")
def search_customer(request: Request, id: str = "") -> Response:
    """Lead to the customer of this id, else to those whose id begins so."""
    night: OpenNight = request.app.state.nights.current()
    sought = id.strip()
    if night.ask("SELECT 1 FROM customers WHERE customer_id = ?", [sought]).shape[0]:
        return RedirectResponse(f"/customers/{quote(sought)}", 303)
    return _tell_unknown(request, night, sought)


@router.get("/customers/{customer_id:path}")
def show_customer(request: Request, customer_id: str) -> HTMLResponse:
    """The page of one customer; an unknown id is told kindly, with ids that begin so."""
    night: OpenNight = request.app.state.nights.current()
    language = choose_language(request)
    known = night.ask("SELECT * FROM customers WHERE customer_id = ?", [customer_id])
    planned = _read_planned(night, customer_id, language)
    excluded = night.ask("SELECT reason FROM excluded WHERE customer_id = ?", [customer_id])
    if known.empty and planned.empty and excluded.empty:
        return _tell_unknown(request, night, customer_id)
    left_out = None if excluded.empty else str(excluded["reason"].iloc[0])
    week = read_week(night, customer_id, planned) if left_out is None or left_out in EXPLAINED else None
    return render(
        request,
        "customer.html.jinja",
        night=night,
        customer_id=customer_id,
        facts=_list_facts(known, night, language),
        planned=planned.to_dict("records"),
        excluded=left_out,
        is_explained=left_out is None or left_out in EXPLAINED,
        history=_read_history(night, customer_id),
        week=week,
        strip=None if week is None else build_strip(week, language),
        spell_slot=spell_slot,
        spell_instant=spell_instant,
    )


def read_week(night: OpenNight, customer_id: str, planned: pd.DataFrame) -> CustomerWeek | None:
    """Weigh every slot of the plan for one customer; None where the night kept no chances of theirs."""
    kept = night.ask("SELECT p FROM chances WHERE customer_id = ?", [customer_id])
    if kept.empty:
        return None
    slots = night.ask("SELECT slot_start, price FROM slots ORDER BY slot_row")
    slots = slots.assign(
        slot_start=slots["slot_start"].dt.tz_convert(night.zone), p=decode_chances(np.asarray(kept["p"].iloc[0]))
    )
    is_planned = slots["slot_start"].isin(planned["slot_start"]).to_numpy()
    value = float(planned["value"].iloc[0]) if len(planned) else 1.0
    verdict = judge_slots(slots["p"].to_numpy(), slots["price"].to_numpy("float64"), is_planned, value)
    return CustomerWeek(slots.assign(is_planned=is_planned, verdict=verdict))


def decode_chances(codes: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Turn what a run keeps of a customer's week into chances; NaN where no call is allowed.

    >>> decode_chances(np.array([2500, 65535])).tolist()
    [0.25, nan]
    """
    return np.where(codes == NOT_LAWFUL, np.nan, codes / PER_UNIT)


def build_strip(week: CustomerWeek, language: str) -> Grid:
    """Lay the week's chances out by day and hour, planned dials marked, slots without lawful calls hatched."""
    low, high = find_scale(week.slots["p"].dropna())
    ending = "" if week.slots["is_planned"].any() else "_unplanned"
    cells = []
    for start, p, verdict in week.slots[["slot_start", "p", "verdict"]].itertuples(index=False):
        slot, why = spell_slot(start, language), speak(f"verdict_{verdict}{ending}", language)
        if np.isnan(p):
            cells.append(GridCell("×", speak("barred_cell", language, slot=slot, why=why), "barred"))
            continue
        title = speak("chance_cell", language, slot=slot, p=percent(p), why=why)
        tone = f"q{shade(p, low, high)}{' chosen' if verdict == 'planned' else ''}"
        cells.append(GridCell(f"{100 * p:.1f}", title, tone))
    corner = speak("day_corner", language)
    return lay_out_week(week.slots["slot_start"], cells, language, corner, (percent(low), percent(high)))


def _read_planned(night: OpenNight, customer_id: str, language: str) -> pd.DataFrame:
    reason = "reason_ja" if language == "ja" else "reason"
    planned = night.ask(
        f"SELECT * EXCLUDE (run_date) REPLACE ({reason} AS reason) FROM call_list WHERE customer_id = ? "
        "ORDER BY slot_start",
        [customer_id],
    )
    return planned.assign(slot_start=planned["slot_start"].dt.tz_convert(night.zone))


def _read_history(night: OpenNight, customer_id: str) -> list[dict[str, Any]]:
    """Attempts, newest first, with every column that a page may ask for."""
    told = night.ask("SELECT * FROM attempts WHERE customer_id = ? ORDER BY attempted_at DESC", [customer_id])
    wanted = ["attempted_at", "outcome", "talk_seconds", "agent_id", "refused", "converted"]
    told = told.reindex(columns=wanted)
    told["attempted_at"] = pd.to_datetime(told["attempted_at"], utc=True).dt.tz_convert(night.zone)
    rows = told.astype("object").where(told.notna(), None).to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def _list_facts(known: pd.DataFrame, night: OpenNight, language: str) -> list[tuple[str, str]]:
    """What is known of the customer: a name that the words may know, and its value spelled."""
    if known.empty:
        return []
    row = known.iloc[0]
    spelled = {name: _in_zone(row[name], night) for name in known.columns if name not in _HIDDEN}
    return [
        (spell_name(str(name), language), spell_attribute(str(name), value, language))
        for name, value in spelled.items()
        if value is not None and not pd.isna(value)
    ]


def spell_name(name: str, language: str) -> str:
    """Name a column of the customers; a centre's own attributes go by the name they have.

    >>> spell_name("region", "ja"), spell_name("contract_kind", "ja")
    ('地域', 'contract kind')
    """
    return speak(name, language) if name in read_words() else name.replace("_", " ")


def _in_zone(value: Any, night: OpenNight) -> Any:
    return value.tz_convert(night.zone) if isinstance(value, pd.Timestamp) and value.tzinfo else value


def _tell_unknown(request: Request, night: OpenNight, sought: str) -> HTMLResponse:
    similar = night.ask(
        "SELECT customer_id FROM customers WHERE ? <> '' AND starts_with(lower(customer_id), lower(?)) "
        f"ORDER BY 1 LIMIT {MOST_SIMILAR}",
        [sought, sought],
    )["customer_id"].tolist()
    return render(request, "unknown_customer.html.jinja", 404, night=night, sought=sought, similar=similar)
