"""The best that anyone could predict in the sample world: one who knows its laws, but not its persons.

For each customer the exact posterior of what is hidden (rhythm, level, effects by part of the week, whether the number
is somebody else's) given every dial of the log, by importance sampling: rhythms are enumerated, the rest is drawn from
its law with a Sobol sequence shared by all, and each draw is weighted by the likelihood of the customer's dials. The
mean over the posterior is P(keyman contact). For tests and benchmarks only.
"""

from typing import Any

import numba
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm, qmc

from pipelines.world.answers import OUTCOMES
from pipelines.world.rhythms import PARTS, assign_parts, rhythm_effects
from pipelines.world.sizes import Sizes
from pipelines.world.truth import daily_decay, days_since, read_slots
from pipelines.world.world import World

_CONTACT = OUTCOMES.index("keyman_contact")


class Reference:
    """Ask it as any scorer: ``reference(customer_rows, n_earlier)``; (m, n_slots) float32.

    Parameters
    ----------
    world
        Its log is the evidence; of its truth only laws and segments are used, and what the log tells.
    slot_starts
        (S,) instants on or after the run date: the columns of every answer.
    n_draws
        Draws per rhythm; a power of two.

    Examples
    --------
    >>> from pipelines.world import build_world
    >>> world = build_world(200, 1, np.random.default_rng(7))
    >>> p = Reference(world, world.capacity["slot_start"][:3], n_draws=64)(np.arange(5))
    >>> p.shape, bool(((p > 0) & (p < 1)).all())
    ((5, 3), True)
    """

    def __init__(self, world: World, slot_starts: Any, n_draws: int = 256) -> None:
        self._truth, self._sizes = world.truth, world.truth.sizes
        slots = read_slots(slot_starts)
        self._effects = np.ascontiguousarray(rhythm_effects(slots, self._sizes, world.truth.end))
        self._parts = assign_parts(slots)
        self._faded = (daily_decay(self._sizes) ** days_since(slots, world.truth.end)).astype(np.float32)
        self._draws = _draw_persons(self._sizes, n_draws)
        self._dials = _lay_out_dials(world)

    def __call__(self, customer_rows: NDArray[Any], n_earlier: int = 0) -> NDArray[np.float32]:
        """Posterior mean of P(keyman contact); after ``n_earlier`` failed dials as ``Truth.true_p`` counts them."""
        rows = np.asarray(customer_rows, dtype=np.int64)
        people, sizes = self._truth.people, self._sizes
        further = float((daily_decay(sizes) ** np.arange(1, n_earlier + 1)).sum())
        fatigue = sizes.fatigue_per_dial * (self._truth.overall[rows, None] * self._faded + further)
        fatigue += sizes.fatigue_same_part * (self._truth.by_part[rows][:, self._parts] * self._faded + further / 6)
        first, part, is_contact, effects, worn, odds = self._dials
        return np.asarray(
            _score(
                first[rows],
                first[rows + 1],
                part,
                is_contact,
                effects,
                worn,
                odds,
                np.float32(sizes.base_logit) + people.segment_level[rows],
                people.rhythm_shares[rows],
                self._draws,
                np.float32(sizes.wrong_number_share),
                np.float32(1 - sizes.wrong_number_rate),
                self._effects,
                self._parts,
                fatigue.astype(np.float32),
                n_earlier,
            )
        )


def _draw_persons(sizes: Sizes, n_draws: int) -> NDArray[np.float32]:
    """Level and effect of each part of a person of the mean segment; (n_draws, 1 + 6)."""
    uniform = qmc.Sobol(1 + len(PARTS), rng=np.random.default_rng(0)).random(n_draws)
    spread = np.array([sizes.level_sd] + [sizes.part_sd] * len(PARTS))
    return np.asarray(norm.ppf(np.clip(uniform, 1e-6, 1 - 1e-6)) * spread, dtype=np.float32)


def _lay_out_dials(world: World) -> tuple[NDArray[Any], ...]:
    """Dials customer by customer in time order: first row of each, part, contact, effects (n, 6), fatigue, odds."""
    attempts, sizes = world.call_attempts, world.truth.sizes
    row = pd.Index(world.customers["customer_id"]).get_indexer(pd.Index(attempts["customer_id"]))
    at = read_slots(attempts["attempted_at"])
    order = np.lexsort((at.asi8, row))
    row, at = row[order], at[order].floor("h")
    part, day = assign_parts(at), days_since(at, world.truth.end)
    outcome = np.array([OUTCOMES.index(name) for name in attempts["outcome"]])[order]
    is_contact = outcome == _CONTACT
    first = np.searchsorted(row, np.arange(len(world.customers) + 1))
    worn = _wear(first, day, part.astype(np.int64), is_contact, daily_decay(sizes))
    fatigue = sizes.fatigue_per_dial * worn[:, 0] + sizes.fatigue_same_part * worn[:, 1]
    effects = np.ascontiguousarray(rhythm_effects(at, sizes, world.truth.end).T)
    odds = _wrong_number_odds(sizes)[outcome]
    return first, part, is_contact, effects, fatigue.astype(np.float32), odds.astype(np.float32)


def _wrong_number_odds(sizes: Sizes) -> NDArray[np.float64]:
    """P(outcome | number is somebody else's) over P(outcome | it is not, and the keyman was not reached)."""
    named = sizes.failed_rate + sizes.busy_rate + sizes.abandoned_rate
    missed = (1 - named - sizes.wrong_number_rate) / (1 - named - sizes.third_party_rate)
    odds = {"third_party": 0.0, "wrong_number": 1e6, "voicemail": missed, "no_answer": missed}
    return np.array([odds.get(name, 1.0) for name in OUTCOMES])


@numba.njit(cache=True)
def _wear(first, day, part, is_contact, decay):  # type: ignore[no-untyped-def]
    worn = np.zeros((len(day), 2), np.float32)
    for customer in range(len(first) - 1):
        overall, by_part = 0.0, np.zeros(6)
        for row in range(first[customer], first[customer + 1]):
            if row > first[customer]:
                faded = decay ** (day[row] - day[row - 1])
                overall *= faded
                by_part *= faded
            worn[row, 0], worn[row, 1] = overall, by_part[part[row]]
            if not is_contact[row]:
                overall += 1.0
                by_part[part[row]] += 1.0
    return worn


@numba.njit(cache=True, parallel=True, fastmath=True)
def _score(  # type: ignore[no-untyped-def]
    begin, end, part, is_contact, effects, worn, odds, level, shares, draws, wrong_share, goes_on,
    slot_effects, slot_parts, fatigue, n_earlier,
):  # fmt: skip
    n_rhythms, n_draws, n_slots = shares.shape[1], len(draws), len(slot_parts)
    p = np.empty((len(begin), n_slots), np.float32)
    for i in numba.prange(len(begin)):
        weight = np.empty((n_rhythms, n_draws), np.float32)
        wrong = wrong_share
        for row in range(begin[i], end[i]):
            wrong *= 0.0 if is_contact[row] else odds[row]
        for c in range(n_rhythms):
            for k in range(n_draws):
                likelihood = shares[i, c] / n_draws
                for row in range(begin[i], end[i]):
                    z = level[i] + draws[k, 0] + draws[k, 1 + part[row]] + effects[row, c] - worn[row]
                    reached = 1.0 / (1.0 + np.exp(-z))
                    likelihood *= reached if is_contact[row] else 1.0 - reached
                for _ in range(n_earlier):
                    mean = 0.0
                    for s in range(n_slots):
                        z = level[i] + draws[k, 0] + draws[k, 1 + slot_parts[s]] + slot_effects[c, s] - fatigue[i, s]
                        mean += 1.0 / (1.0 + np.exp(-z))
                    likelihood *= 1.0 - mean / n_slots
                weight[c, k] = likelihood
        right = (1.0 - wrong_share) * weight.sum()
        known_right = right / (right + wrong * goes_on**n_earlier)
        weight /= weight.sum()
        for s in range(n_slots):
            mean = 0.0
            for c in range(n_rhythms):
                z0 = level[i] + slot_effects[c, s] - fatigue[i, s]
                for k in range(n_draws):
                    z = z0 + draws[k, 0] + draws[k, 1 + slot_parts[s]]
                    mean += weight[c, k] / (1.0 + np.exp(-z))
            p[i, s] = known_right * mean
    return p
