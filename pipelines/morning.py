"""What a day is planned again from: the night's folder, and the model that made its plan."""

import json
import logging
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import ValidationError

from configs.errors import UsageError
from configs.settings import Settings
from models.contact.model import ContactModel
from models.contact.scorer import Scorer, build_scorer
from models.planning.handling import Effort, HandleTimes, count_in_dials
from pipelines.intake import Intake
from pipelines.kept_folder import find_kept
from pipelines.kept_model import read_kept_model
from pipelines.kept_persons import read_persons
from pipelines.order import Order
from pipelines.stages import stage

UNREGISTERED = "unregistered"
_USED = ("customer_id", "slot_start", "p_keyman", "value", "is_firm", "attempt_number")


@dataclass(frozen=True)
class Morning:
    """The night's plan, as its folder tells it.

    Attributes
    ----------
    call_list
        customer_id · slot_start · p_keyman · value · is_firm · attempt_number, one row per planned dial.
    places
        slot_start · dials · places: what the plan obeyed, over its whole horizon.
    prices
        Contacts (or value) that one more place would bring, by ``slot_start``.
    effort
        How the plan counted places.
    """

    run_id: str
    run_date: date
    settings: Settings
    staffing_mode: str
    model_name: str
    model_version: str
    call_list: pd.DataFrame
    places: pd.DataFrame
    prices: pd.Series
    effort: Effort

    @property
    def later(self) -> pd.DataFrame:
        """The dials planned for later days."""
        return self.call_list[~self.call_list["is_firm"]]

    @property
    def owed(self) -> pd.DataFrame:
        """The run date's dials that ``planning.min_attempts`` owed."""
        is_owed = self.call_list["attempt_number"] <= self.settings.planning.min_attempts
        return self.call_list[self.call_list["is_firm"] & is_owed]


def read_morning(folder: Path) -> Morning:
    """Read the folder that a night has left.

    Raises
    ------
    UsageError
        It is no folder of a night, or one of an older kakedoki; the message names what is missing.
    """
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        call_list = pd.read_parquet(folder / "call_list.parquet")
        staffing = pd.read_csv(folder / "staffing.csv", encoding="utf-8-sig")
        settings = Settings.model_validate(record["settings"])
        is_fixed = record["staffing_mode"] == "fixed"
        slot_start = pd.to_datetime(staffing["slot_start"], utc=True).dt.tz_convert(settings.timezone).dt.as_unit("us")
        effort = read_effort(record, settings)
        dials = staffing["dials_given" if is_fixed else "dials_recommended"].astype("int64")
        places = dials
        if effort.times is not None:  # of the seats recommended, which alone are asked for here
            seats = staffing["agents_recommended"] * effort.per_agent_hour * settings.slot_minutes / 60
            places = seats.round().astype("int64")
        price = staffing["seat_price"].fillna(0.0) / effort.per_agent_hour
        return Morning(
            run_id=record["run_id"],
            run_date=date.fromisoformat(record["run_date"]),
            settings=settings,
            staffing_mode=record["staffing_mode"],
            model_name=record["model"]["name"],
            model_version=record["model"]["version"],
            call_list=call_list[list(_USED)],
            places=pd.DataFrame({"slot_start": slot_start, "dials": dials, "places": places}),
            prices=pd.Series(price.to_numpy(), index=pd.DatetimeIndex(slot_start)),
            effort=effort,
        )
    except FileNotFoundError as error:
        name = Path(str(error.filename)).name
        raise UsageError(f"--plan {folder}: is no folder of a night ({name} is missing)") from error
    except (KeyError, ValueError, ValidationError) as error:
        raise UsageError(f"--plan {folder}: cannot be read ({error}): run the night again") from error


def read_effort(record: dict[str, Any], settings: Settings) -> Effort:
    """How the plan counted places; folders of before handle times counted dials."""
    times = record.get("handle_times")
    if times is None:
        return count_in_dials(settings)
    return Effort(
        per_agent_hour=times["seconds_per_agent_hour"],
        times=HandleTimes(times["contacted_seconds"], times["not_contacted_seconds"], times["contact_rate"]),
    )


class PlanScorer:
    """Scores from the plan's own list, for when its model cannot be read.

    A customer of the list has the ``p_keyman`` of their dial in the very slot, else the mean of their dials; everybody
    else the list's lowest, so that they only take places that nobody of the list wants.
    """

    def __init__(self, morning: Morning, customer_ids: pd.Series, slots: pd.DataFrame) -> None:
        listed = morning.call_list
        row = pd.Index(customer_ids.astype("str")).get_indexer(pd.Index(listed["customer_id"].astype("str")))
        listed = listed.assign(row=row)[row >= 0]
        p = np.full((len(customer_ids), len(slots)), listed["p_keyman"].min() if len(listed) else 0.0, dtype="float32")
        mean = listed.groupby("row")["p_keyman"].mean()
        p[mean.index.to_numpy()] = mean.to_numpy(dtype="float32")[:, None]
        slot = pd.DatetimeIndex(slots["slot_start"]).get_indexer(pd.DatetimeIndex(listed["slot_start"]))
        here = listed[slot >= 0]
        p[here["row"].to_numpy(), slot[slot >= 0]] = here["p_keyman"].to_numpy(dtype="float32")
        self._p = p

    def __call__(self, customer_rows: npt.NDArray[np.int64], n_earlier: int) -> npt.NDArray[np.float32]:  # noqa: ARG002
        """P(keyman contact) in every slot, whatever failed before; (m, n_slots)."""
        return self._p[customer_rows]


@stage("recall", tell=lambda recalled: recalled[1] or "the model of the plan")
def recall(order: Order, intake: Intake, morning: Morning, now: pd.Timestamp) -> tuple[Scorer | PlanScorer, str]:
    """Read the model that made the plan, or fall back on the plan's own ``p_keyman`` and say so.

    The model knows what it knew at night: an outcome of this morning belongs to somebody who is not dialled again
    today.

    Returns
    -------
    scorer, note
        ``note`` is empty when the model was read.
    """
    tables = intake.tables
    try:
        model = _read_model(order, morning)
        known = read_persons(find_kept(order.var, order.source), model.hierarchy)
        log = (tables.call_attempts, tables.customers)
        return build_scorer(model, *log, now, intake.slots, order.settings, known), ""
    except (OSError, KeyError, TypeError, ValueError) as error:
        logging.getLogger("kakedoki").warning("the plan's model cannot be read: %s", error)
        note = (
            f"version {morning.model_version} of the model cannot be read: the plan's own p_keyman is used, "
            "and the list's lowest for whoever is not in it"
        )
        return PlanScorer(morning, tables.customers["customer_id"], intake.slots), note


def _read_model(order: Order, morning: Morning) -> ContactModel:
    """The plan's model as kept beside the log, else from the registry, which brings MLflow along."""
    name, version = morning.model_name, morning.model_version
    if version == UNREGISTERED:
        raise OSError("it was never registered")
    kept = read_kept_model(find_kept(order.var, order.source), name, version)
    if kept is not None:
        return kept
    from models.registry import read_model
    from pipelines.train import open_store

    return read_model(open_store(order), name, version)
