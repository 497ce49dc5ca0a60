"""The contact model: the hierarchy's log-odds, corrected by small trees, calibrated."""

import json
from dataclasses import dataclass, field, replace
from functools import cached_property

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.history import HISTORY_FEATURES, PART_FEATURES
from features.slots import SLOT_FEATURES, hours_of_parts
from features.table import DialLog
from models.contact.calibration import Calibration
from models.contact.effects import EffectTable, slot_codes
from models.contact.encoding import Encoding
from models.contact.hierarchy import Hierarchy, attribute_effects
from models.contact.persons import Beliefs, FailedDials, NeverReached, PersonStates, PriorVariances
from models.contact.trust import Trust

PERSON_FEATURES = ("person_level",)
PERSON_PART_FEATURES = ("person_in_part", "person_in_part_sd")
BASE = "base_logit"


@dataclass(frozen=True)
class ContactModel:
    """P(keyman contact | one dial to this customer in this slot, what was known on the night).

    Attributes
    ----------
    hierarchy
        Person ← segment ← slot.
    trees
        LightGBM model text; its features are ``feature_names``, its start is the hierarchy's logit.
    calibration
    attributes
        Customer columns used.
    trust
        How far its differences can be believed, measured on held-out dials.
    """

    hierarchy: Hierarchy
    trees: str
    calibration: Calibration
    attributes: tuple[str, ...]
    trust: Trust = field(default_factory=Trust)

    @property
    def customer_features(self) -> tuple[str, ...]:
        """Features that a customer keeps over the whole horizon."""
        return (*self.attributes, *HISTORY_FEATURES, *PERSON_FEATURES)

    @property
    def part_features(self) -> tuple[str, ...]:
        """Features of a customer in a part of the week."""
        return (*PART_FEATURES, *PERSON_PART_FEATURES)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Features of the trees, in order: customer, customer × part, slot."""
        return (*self.customer_features, *self.part_features, *SLOT_FEATURES)

    @cached_property
    def booster(self) -> lgb.Booster:
        """The trees, ready to predict."""
        return lgb.Booster(model_str=self.trees)

    def predict_rows(self, rows: pd.DataFrame) -> np.ndarray:
        """Probability of each row of ``feature_names`` and ``base_logit``; (n,) float in (0, 1)."""
        features = rows[list(self.feature_names)].to_numpy("float32")
        trees = self.booster.predict(features, raw_score=True)
        return self.calibration.apply(rows[BASE].to_numpy("float64") + np.asarray(trees))

    def to_json(self) -> str:
        """The whole model as text that :meth:`from_json` reads back."""
        hierarchy = self.hierarchy
        return json.dumps(
            {
                "attributes": self.attributes,
                "trees": self.trees,
                "calibration": vars(self.calibration),
                "trust": vars(self.trust),
                "encoding": vars(hierarchy.encoding),
                "variances": vars(hierarchy.variances),
                "never": vars(hierarchy.never),
                "fatigue": hierarchy.fatigue,
                "tables": [vars(table) | {"values": table.values.tolist()} for table in hierarchy.tables],
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "ContactModel":
        """Read a model written by :meth:`to_json`."""
        kept = json.loads(text)
        encoding = Encoding(
            **{
                key: {name: tuple(values) for name, values in kept["encoding"][key].items()}
                for key in ("levels", "edges", "crossed")
            },
            segment_by=tuple(kept["encoding"]["segment_by"]),
        )
        tables = [
            EffectTable(**(table | {"values": np.array(table["values"], dtype="float32")})) for table in kept["tables"]
        ]
        never = NeverReached(**kept["never"])
        hierarchy = Hierarchy(encoding, tables, PriorVariances(**kept["variances"]), never, tuple(kept["fatigue"]))
        trust = kept["trust"] | {"covariance": tuple(map(tuple, kept["trust"]["covariance"]))}
        calibration, attributes = Calibration(**kept["calibration"]), tuple(kept["attributes"])
        return cls(hierarchy, kept["trees"], calibration, attributes, Trust(**trust))


@dataclass(frozen=True)
class Evidence:
    """What is known of chosen customers before chosen instants: the ground on which rows and scores are built.

    Attributes
    ----------
    customer_rows, cutoff_seconds, n_between : (m,)
        Whom, known up to when, and how many planned dials have failed since then.
    beliefs
        About each of them at the instant.
    then
        What will be believed just before each dial, when the slots of the failed dials between are known.
    """

    log: DialLog
    hierarchy: Hierarchy
    customer_rows: np.ndarray
    cutoff_seconds: np.ndarray
    n_between: np.ndarray
    beliefs: Beliefs
    then: Beliefs | None = None

    @property
    def mean(self) -> np.ndarray:
        """Person effects, (m, n_spans) float32."""
        return self.beliefs.mean

    @property
    def variance(self) -> np.ndarray:
        """And how unsure they are, (m, n_spans) float32."""
        return self.beliefs.variance

    @cached_property
    def history(self) -> dict[str, np.ndarray]:
        """``HISTORY_FEATURES`` at the cutoff, each (m,) float32."""
        counted = self.log.history.features_at(self.customer_rows, self.cutoff_seconds)
        return counted | {"n_dialled_between": self.n_between.astype("float32")}

    @cached_property
    def codes(self) -> dict[str, np.ndarray]:
        """Levels of all customer keys, each (m,) int32."""
        of_customers = self.hierarchy.read(self.log).codes
        return {key: levels[self.customer_rows] for key, levels in of_customers.items()}

    def take(self, rows: np.ndarray, n_between: int | None = None) -> "Evidence":
        """The same of chosen rows (any order, repeats allowed); ``n_between`` replaces the count of failed dials."""
        then = None if self.then is None or n_between is not None else self.then.take(rows)
        between = self.n_between[rows] if n_between is None else np.full(len(rows), n_between)
        known = (self.customer_rows[rows], self.cutoff_seconds[rows], between, self.beliefs.take(rows), then)
        return Evidence(self.log, self.hierarchy, *known)

    def after(self, path: FailedDials) -> "Evidence":
        """The same with what will be believed once each customer's stretch of ``path`` has failed."""
        then = self.hierarchy.advance(self.log, self.beliefs, self.customer_rows, path)
        return replace(self, n_between=path.end - path.begin, then=then)

    def customer_columns(self, attributes: tuple[str, ...]) -> np.ndarray:
        """Customer features in model order; (m, n_customer_features) float32."""
        columns = [
            self.log.customers[name].to_numpy("float32")[self.customer_rows]
            if name in self.hierarchy.encoding.edges
            else attribute_effects(self.hierarchy, self.codes, name)
            for name in attributes
        ]
        return np.column_stack([*columns, *(self.history[name] for name in HISTORY_FEATURES), self.mean.mean(axis=1)])

    def part_columns(self, part: np.ndarray) -> np.ndarray:
        """Customer × part features in model order for one part per row; (m, n_part_features) float32."""
        counted = self.log.history.part_features_at(self.customer_rows, self.cutoff_seconds, part)
        mean, variance = self.person_in(part)
        return np.column_stack([*(counted[name] for name in PART_FEATURES), mean, np.sqrt(variance)])

    def person_in(self, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean person effect over the hours of one part of the week per row, and its mean variance; (m,) each."""
        hours = hours_of_parts().astype("float32")[part]
        return np.einsum("ms,ms->m", self.mean, hours), np.einsum("ms,ms->m", self.variance, hours)


def gather_evidence(
    hierarchy: Hierarchy,
    log: DialLog,
    customer_rows: np.ndarray,
    cutoff_seconds: np.ndarray,
    n_between: np.ndarray,
    states: PersonStates | None = None,
) -> Evidence:
    """Collect what is known of each customer before each instant; ``states`` saves running the filter again."""
    states = states or hierarchy.person_states(log)
    at = log.history.position(customer_rows, cutoff_seconds)
    believed = states.at(at, log.history.first[customer_rows])
    faded = log.history.faded_failures_at(customer_rows, cutoff_seconds)
    return Evidence(log, hierarchy, customer_rows, cutoff_seconds, n_between, Beliefs(*believed, faded, cutoff_seconds))


def gather_evidence_of_dials(
    hierarchy: Hierarchy, log: DialLog, rows: np.ndarray, cutoff_seconds: np.ndarray, n_between: np.ndarray
) -> Evidence:
    """The same for dials of the log (sorted rows, (m,)): what failed between the cutoff and each is taken as planned.

    ``cutoff_seconds`` and ``n_between`` are those of ``features.table.cut_nights``.
    """
    evidence = gather_evidence(hierarchy, log, log.history.customer_row[rows], cutoff_seconds, n_between)
    dialled = log.history
    return evidence.after(
        FailedDials(dialled.part, dialled.span, dialled.seconds, hierarchy.read(log).tables, rows - n_between, rows)
    )


def build_rows(evidence: Evidence, slots: pd.DataFrame, attributes: tuple[str, ...]) -> pd.DataFrame:
    """One row per (customer, slot) pair: tree features and the hierarchy's logit.

    Parameters
    ----------
    evidence
        Of the m customers.
    slots
        Slot features of the m dials, row by row (``features.slots``).

    Returns
    -------
    DataFrame
        (m, n_features + 1) float32: the model's ``feature_names`` and ``base_logit``.
    """
    part = slots["part"].to_numpy()
    shape = ContactModel(evidence.hierarchy, "", Calibration(0.0, 1.0), attributes)
    slot_columns = slots[list(SLOT_FEATURES)].to_numpy("float32")
    features = np.column_stack([evidence.customer_columns(attributes), evidence.part_columns(part), slot_columns])
    known = (evidence.beliefs, evidence.n_between) if evidence.then is None else (evidence.then, 0)
    base = evidence.hierarchy.base_logit(
        evidence.codes,
        slot_codes(slots),
        known[0],
        part,
        slots["span"].to_numpy(),
        slots["seconds"].to_numpy(),
        known[1],
    )
    return pd.DataFrame(features, columns=list(shape.feature_names)).assign(**{BASE: base})
