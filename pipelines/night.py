"""What a night produced: the one frozen result that exports, report, MLflow and tests receive."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from configs.settings import Settings
from features.contracts import CheckReport, Tables
from models.contact.drift import Drift
from models.contact.fitting import FittedNight
from models.planning.advice import StaffingAdvice
from models.planning.experiment import Experiment
from models.planning.handling import Effort


@dataclass(frozen=True)
class Chances:
    """What a first dial to whoever may be called would be worth in every slot, called then or not.

    Attributes
    ----------
    customer_rows : (m,) int
        Rows of ``Tables.customers``, rising.
    p : (m, n_slots) uint16
        p_keyman × 10,000; 65535 where no call is lawful.
    prices : (n_slots,) float
        Value of one more dial; of a usual one where places are agent-seconds.
    places : (n_slots,) int
        Dials that the plan had room for, the same way.
    """

    customer_rows: npt.NDArray[np.int64]
    p: npt.NDArray[np.uint16]
    prices: npt.NDArray[np.float64]
    places: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Night:
    """Everything a run leaves, before it is written.

    Attributes
    ----------
    call_list
        One row per planned dial, sorted by (slot_start, rank), with the columns of ``call_list.parquet``: run_date ·
        slot_start · rank · customer_id · p_keyman · attempt_number · value · is_firm · arm · propensity · reason
        (null beyond the firm day) · allowed_because · reason_ja (the same in Japanese).
    excluded
        customer_id · reason, one row per listed customer who is not in the list.
    staffing
        slot_start · dials_given · dials_recommended · agents_recommended · seat_price · expected_contacts · hint.
    gains
        ``{"timing" | "list" | "staffing" | "total": {"ratio", "low", "high", "basis"}}``.
    plan
        upper_bound · gap · expected_contacts · n_dials · n_places (dials, as is usual in the log where
        agent-seconds are given) of the plan.
    stages
        One entry per stage: stage · seconds · peak_mb.
    fitted
        Tonight's fit, whether it made the plan or not; None when nothing was fitted.
    model_name, model_version
        Of the model that made the plan.
    challenger
        Version of tonight's fit when the champion of an earlier night made the plan; None when tonight's did.
    verdict
        What the gate said of tonight's fit.
    advice
        What the recommended places are worth beside those given, and the roster behind them.
    effort
        How places were counted: in dials, or in agent-seconds; None means in dials.
    drift
        What tonight's fit found to have moved, even when an earlier champion plans; None when nothing was fitted.
    chances
        Everybody's week as the plan weighed it, for the page; None leaves it out.
    experiment
        What the control arm has measured so far; None without one.
    """

    run_id: str
    as_of: pd.Timestamp
    source: str
    fingerprint: dict[str, str]
    settings: Settings
    staffing_mode: str
    tables: Tables
    report: CheckReport
    slots: pd.DataFrame
    call_list: pd.DataFrame
    excluded: pd.DataFrame
    staffing: pd.DataFrame
    gains: dict[str, dict[str, Any]]
    plan: dict[str, float]
    fitted: FittedNight | None
    model_name: str
    model_version: str
    stages: tuple[dict[str, Any], ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    advice: StaffingAdvice | None = None
    effort: Effort | None = None
    drift: Drift | None = None
    challenger: str | None = None
    verdict: str = ""
    chances: Chances | None = None
    experiment: Experiment | None = None

    @property
    def is_fitted_tonight(self) -> bool:
        """Whether the model that made the plan was fitted tonight."""
        return self.fitted is not None and self.challenger is None
