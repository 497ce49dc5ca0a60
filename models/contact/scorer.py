"""The contact model over a whole horizon: P(keyman contact) of chosen customers in every slot."""

import numpy as np
import pandas as pd

from configs.settings import Settings
from features.slots import SLOT_FEATURES
from features.table import DialLog, build_dial_log, midnight_seconds
from models.contact.effects import slot_codes
from models.contact.fatigue import fade
from models.contact.known import KnownPersons, recall_persons
from models.contact.model import ContactModel, Evidence, build_rows, gather_evidence
from models.contact.persons import Beliefs, FailedDials
from models.contact.scoring import CompiledForest, compile_forest

_BLOCK = 4096


class Scorer:
    """Ask it for probabilities: ``scorer(customer_rows, n_earlier)``.

    Built by :func:`build_scorer`. The forest is compiled once per part of the week, because a customer's features keep
    still within a part; tables of the hierarchy are spread over the slots once.
    """

    def __init__(self, model: ContactModel, evidence: Evidence, slots: pd.DataFrame) -> None:
        self.model = model
        self.slots = slots
        self.evidence = evidence
        self._customers = self.evidence.customer_columns(model.attributes)
        self._between = model.customer_features.index("n_dialled_between")
        self._part_of_slot, self._span_of_slot = (slots[name].to_numpy("int64") for name in ("part", "span"))
        self._parts = [(part, self._part_columns(part)) for part in np.unique(self._part_of_slot)]
        self._forests = {part: self._compile(part) for part, _ in self._parts}
        self._spread = _spread_tables(model, slots)
        nights, self._night = np.unique(evidence.cutoff_seconds, return_inverse=True)
        seconds = slots["seconds"].to_numpy()
        self._fade_of_night = np.stack([fade(np.full(1, night), seconds) for night in nights]).astype("float32")

    def __call__(self, customer_rows: np.ndarray, n_earlier: int | np.ndarray = 0) -> np.ndarray:
        """P(keyman contact) of one dial per customer × slot.

        Parameters
        ----------
        customer_rows : (m,) int
            Rows of the evidence: positions in the checked customers when built by :func:`build_scorer`.
        n_earlier : int or (m,) int
            Dials planned before this one in the horizon, all of them assumed to have failed.

        Returns
        -------
        (m, n_slots) float32
            Probabilities in (0, 1).
        """
        p = np.empty((len(customer_rows), len(self.slots)), dtype="float32")
        earlier = np.broadcast_to(n_earlier, len(customer_rows))
        for begin in range(0, len(customer_rows), _BLOCK):
            block = slice(begin, begin + _BLOCK)
            p[block] = self._score(np.asarray(customer_rows[block]), earlier[block])
        return p

    def _score(self, rows: np.ndarray, n_earlier: np.ndarray) -> np.ndarray:
        logits = np.zeros((len(rows), len(self.slots)), dtype="float32")
        for key, values in self._spread.items():
            logits += values[self.evidence.codes[key][rows]]
        beliefs = self.evidence.beliefs.take(rows)
        logits += beliefs.mean[:, self._span_of_slot] + self._fatigue(rows, beliefs.faded)
        variance, never = beliefs.variance[:, self._span_of_slot], beliefs.never[:, None]
        logits = self.model.hierarchy.join(logits, variance, never, n_earlier[:, None])
        customers = self._customers[rows]
        customers[:, self._between] = n_earlier
        for part, columns in self._parts:
            features = np.concatenate([customers, columns[rows]], axis=1)
            self._forests[part].add_to(logits, np.flatnonzero(self._part_of_slot == part), features)
        calibration = self.model.calibration
        return calibration.apply(logits)

    def score_series(self, customer_rows: np.ndarray, slot_rows: np.ndarray) -> np.ndarray:
        """P(keyman contact) of planned dials, each given that the customer's earlier ones among them have failed.

        Unlike a call with ``n_earlier``, what the earlier dials teach depends on the slots they stand in.

        Parameters
        ----------
        customer_rows, slot_rows : (m,) int
            The dials, in any order; at most one per customer and slot.

        Returns
        -------
        (m,) float32
        """
        order = np.lexsort((slot_rows, customer_rows))
        rows, slots = customer_rows[order], self.slots.take(slot_rows[order])
        position = np.arange(len(rows))
        is_first = np.append(True, rows[1:] != rows[:-1])[: len(rows)]
        begin = np.maximum.accumulate(np.where(is_first, position, 0))
        evidence, hierarchy = self.evidence.take(rows), self.model.hierarchy
        tables = hierarchy.table_logit(evidence.codes, slot_codes(slots))
        part, span, seconds = (slots[name].to_numpy() for name in ("part", "span", "seconds"))
        path = FailedDials(part, span, seconds, tables, begin, position)
        p = np.empty(len(rows), dtype="float32")
        p[order] = self.model.predict_rows(build_rows(evidence.after(path), slots, self.model.attributes))
        return p

    def _fatigue(self, rows: np.ndarray, faded: np.ndarray) -> np.ndarray:
        """Logits that earlier failures cost in each slot; (m, n_slots) float32."""
        weights = np.array(self.model.hierarchy.fatigue, dtype="float32")
        n_lives = faded.shape[1]
        worn = np.zeros((len(faded), len(self.slots)), dtype="float32")
        for h in range(n_lives):
            by_part = weights[h] * faded[:, h].sum(axis=1)[:, None] + weights[n_lives + h] * faded[:, h]
            worn += by_part[:, self._part_of_slot] * self._fade_of_night[self._night[rows], :, h]
        return worn

    def _part_columns(self, part: int) -> np.ndarray:
        return self.evidence.part_columns(np.full(len(self.evidence.customer_rows), part))

    def _compile(self, part: int) -> CompiledForest:
        slots = self.slots.loc[self._part_of_slot == part, list(SLOT_FEATURES)].to_numpy("float32")
        n_features = len(self.model.customer_features) + len(self.model.part_features)
        return compile_forest(self.model.booster, slots, n_features)


def build_scorer(
    model: ContactModel,
    attempts: pd.DataFrame,
    customers: pd.DataFrame,
    as_of: pd.Timestamp,
    slots: pd.DataFrame,
    settings: Settings,
    known: KnownPersons | None = None,
) -> Scorer:
    """Get ready to score the customers for the given slots with all that is known at ``as_of``.

    Parameters
    ----------
    attempts, customers
        Checked tables.
    slots
        Of ``features.slots.build_slots``; the columns of every answer.
    known
        Beliefs of an earlier run of the same model, which save time and change nothing.
    """
    return Scorer(model, know_tonight(model, build_dial_log(attempts, customers, settings), as_of, known), slots)


def know_tonight(model: ContactModel, log: DialLog, as_of: pd.Timestamp, known: KnownPersons | None = None) -> Evidence:
    """What is known of every customer at ``as_of``; ``known`` as of :func:`build_scorer`."""
    everyone = np.arange(len(log.customers))
    day = np.array([as_of.tz_localize(None).date()], dtype="datetime64[D]")
    night = np.repeat(midnight_seconds(day, str(as_of.tz)), len(everyone))
    nothing_between = np.zeros(len(everyone), dtype="int64")
    if known is None:
        return gather_evidence(model.hierarchy, log, everyone, night, nothing_between)
    believed = recall_persons(model.hierarchy, log, night, known)
    beliefs = Beliefs(*believed, log.history.faded_failures_at(everyone, night), night)
    return Evidence(log, model.hierarchy, everyone, night, nothing_between, beliefs)


def _spread_tables(model: ContactModel, slots: pd.DataFrame) -> dict[str, np.ndarray]:
    """Per customer key, (n_levels, n_slots) float32: the sum of its tables over the slots."""
    codes = slot_codes(slots)
    spread: dict[str, np.ndarray] = {}
    for table in model.hierarchy.tables:
        over_slots = table.values[:, codes[table.slot_key]]
        spread[table.customer_key] = spread.get(table.customer_key, np.float32(0.0)) + over_slots
    return spread
