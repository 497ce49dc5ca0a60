"""Whether habits have moved: a test of *when* people are reached, not of who is called when.

Every dial has a prediction, by one model for all weeks. In cells of the week (hours, level × part, pair of levels ×
part) contacts beyond those predicted are set against the weeks before, so that what the model always gets wrong
cancels. The level of every group is taken out: a campaign that goes better everywhere, or a list of older people, is no
change of habits. What is left is weighed by how alike cells are (neighbouring hours, ages and days move together),
which finds broad changes in few dials that a plain chi-square of many thin cells would miss. A second look asks one
question only: do people stop being reached when they used to be?
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import chi2, norm

from features.levels import pool_thin_levels
from features.slots import PARTS

LEVEL = 0.05
"""Chance of a false alarm in a night, over all looks together."""

WINDOWS = (1, 2, 4)
"""Newest weeks that are looked at; all are set against the weeks before the longest."""

_LEAST_WEEKS = 4
_LEAST_CONTACTS = 60.0
_LEAST_OF_LEVEL, _MOST_LEVELS = 20.0, 12
_LEAST_TOLD = 10.0
_N_DRAWS = 200
_PATTERN_VARIANCE = 0.05
_BY_PART, _FADING, _LEVEL_OF = " × part", ", fading", "level of "
_Z_90 = 1.6448536269514722
_HOURS_ALIKE, _BANDS_ALIKE = 3.0, 2.0
_OTHER_DAYS, _OTHER_LEVEL = 0.5, 0.25
_TIMES = {"morning": "mornings", "noon": "noon hours", "afternoon": "afternoons", "evening": "evenings"}


@dataclass(frozen=True)
class Habits:
    """What the test says.

    Attributes
    ----------
    verdict
        "moved", "steady", or "unknown" when there are too few contacts or weeks to look at.
    sentence
        The same for people; with the cell that stands out most, which tends to look a little larger than it is.
    looks
        look · weeks (newest) · n_cells · noise (how much more than chance single weeks differ even when nothing moves,
        at least 1) · size (of the difference, noise taken out; 1 is usual) · p_value (of this look alone), most
        telling first.
    p_value
        Of the whole test, corrected for the number of looks; habits have moved below ``LEVEL``.
    """

    verdict: str
    sentence: str
    looks: pd.DataFrame
    p_value: float


@dataclass(frozen=True)
class _Look:
    """One way of cutting dials into cells.

    ``cell`` (m,) of each row of the fine table · ``names`` of the C cells · ``alike`` (C, C), how much two cells move
    together · ``group`` (C,), whose level is taken out.
    """

    name: str
    cell: np.ndarray
    names: tuple[str, ...]
    alike: np.ndarray
    group: np.ndarray


def judge_habits(
    dials: pd.DataFrame,
    levels: Mapping[str, pd.Series],
    segment_by: tuple[str, ...],
    weeks_ago: np.ndarray,
    p: np.ndarray,
    is_contact: np.ndarray,
    rng: np.random.Generator,
) -> Habits:
    """Test whether the newest weeks differ from the weeks before in when people are reached.

    Parameters
    ----------
    dials
        Slot features of the n dials: part · hour · is_off_day.
    levels
        Per attribute the level of each dial's customer, (n,) categorical of text; ordered ones have neighbours.
    segment_by
        Attributes whose pairs are looked at, too.
    weeks_ago : (n,) int
        0 for the newest week.
    p : (n,) float
        Predicted probability of contact, each dial known as on a night before it.
    is_contact : (n,) bool
    rng
        Draws what the looks would show if nothing had moved.

    Notes
    -----
    With r = Σ (seen − p) and v = Σ p (1 − p) over the dials of a cell, new and before, g = (r₁ v₀ − r₀ v₁) / (v₁ + v₀)
    is the score of a change of the cell's log-odds, less its mean over the group. The size of a look is g' K g over its
    mean by chance, K how alike the cells are: the locally most powerful test if changes are drawn with covariance K
    (Liu, Lin & Ghosh 2007). Its p-value is by three moments (Imhof 1961). Fading is g along the pattern of contacts in
    the weeks before, against its mean and deviation over the draws, and its size the square of that.

    Weeks also differ without any change of habits (weather, a new script), so sizes are divided by the mean of earlier
    weeks, each against the others. The smallest p-value is set against those of 200 draws from the predictions
    (Westfall & Young 1993): the looks are many and alike, and this is the price for just these. How often it is right:
    docs/decisions/0008.

    References
    ----------
    Liu, Lin & Ghosh (2007), "Semiparametric regression of multidimensional genetic pathway data", Biometrics 63.
    Imhof (1961), "Computing the distribution of quadratic forms in normal variables", Biometrika 48. Westfall & Young
    (1993), Resampling-Based Multiple Testing.
    """
    n_weeks = int(weeks_ago.max()) + 1 if len(weeks_ago) else 0
    windows = [weeks for weeks in WINDOWS if n_weeks - weeks >= _LEAST_WEEKS]
    if not windows or min(p[weeks_ago == 0].sum(), p[weeks_ago >= windows[-1]].sum()) < _LEAST_CONTACTS:
        return Habits("unknown", "too few contacts to tell whether habits have moved", pd.DataFrame(), 1.0)
    longest, n_plain = windows[-1], 1 + len(levels)
    weekly = _count_finely(dials, levels, weeks_ago, p, is_contact)
    noises = _usual_noise(weekly, list(_list_looks(weekly, levels, ())), longest)
    era = np.maximum.reduce([np.where(weekly["week"] >= first, first, 0) for first in windows])
    eras = _add_up(weekly.assign(week=era))  # all that the windows need, in a fraction of the rows to draw for
    looks = list(_list_looks(eras, levels, segment_by))
    noises += [float(np.mean(noises))] * (len(looks) - n_plain)
    drawn = np.column_stack([eras["seen"].to_numpy("float32"), _draw_contacts(eras, rng)])
    tested = [
        found
        for look, noise in zip(looks, noises, strict=True)
        for weeks in windows
        for found in _test_window(eras, look, weeks, longest, drawn, noise)
    ]
    table = pd.DataFrame([row for row, _ in tested]).sort_values("p_value", kind="stable", ignore_index=True)
    by_chance = np.min([p_of_draws for _, p_of_draws in tested], axis=0)
    p_value = float((1 + np.sum(by_chance <= table["p_value"].iloc[0])) / (1 + _N_DRAWS))
    if p_value >= LEVEL:
        return Habits("steady", "no sign that habits have moved", table, p_value)
    most = str(table["look"].iloc[0]).removesuffix(_FADING)
    # a pair of attributes may find more, but its cells are a mouthful: either attribute speaks for it
    told = most.removesuffix(_BY_PART).split(" × ")
    plain = [look for look in looks[:n_plain] if look.name.removesuffix(_BY_PART) in told]
    said = _tell(eras, plain, int(table["weeks"].iloc[0]), longest, max(noises))
    return Habits("moved", said, table, p_value)


def _count_finely(
    dials: pd.DataFrame, levels: Mapping[str, pd.Series], weeks_ago: np.ndarray, p: np.ndarray, is_contact: np.ndarray
) -> pd.DataFrame:
    """Dials and contacts per week, hour and levels: one row each, with n · seen · expected · variance."""
    hour = dials["hour"].to_numpy("int64") + 24 * dials["is_off_day"].to_numpy("int64")
    keys = pd.DataFrame({"week": weeks_ago, "hour": hour, "part": dials["part"].to_numpy("int64")})
    newest = p * (weeks_ago == 0)
    for name, named in levels.items():
        least = max(_LEAST_OF_LEVEL, newest.sum() / _MOST_LEVELS)
        keys[_LEVEL_OF + name] = pool_thin_levels(named.reset_index(drop=True), newest, least)
    counted = keys.assign(n=1, seen=is_contact.astype("int64"), expected=p, variance=p * (1 - p))
    return _add_up(counted)


def _add_up(counted: pd.DataFrame) -> pd.DataFrame:
    """Sum the rows of the same week, hour and levels."""
    keys = [name for name in counted if name not in ("n", "seen", "expected", "variance")]
    return counted.groupby(keys, observed=True, sort=False).sum().reset_index()


def _list_looks(fine: pd.DataFrame, levels: Mapping[str, pd.Series], segment_by: tuple[str, ...]) -> Iterator[_Look]:
    hour = np.arange(48)
    told = [f"from {h:02d}:00 to {h + 1:02d}:00 on {day}" for day in ("weekdays", "free days") for h in range(24)]
    alike = _alike_times(hour % 24, hour // 24)
    yield _Look("hour", fine["hour"].to_numpy(), tuple(told), alike, np.zeros(48, dtype="int64"))
    part = np.arange(len(PARTS))
    alike_parts = _alike_times(3 * (part % 4), part // 4)
    pairs = [pair for pair in combinations(segment_by, 2) if set(pair) <= set(levels)]
    for names in [*((name,) for name in levels), *pairs]:
        cell, alike, told = np.zeros(len(fine), dtype="int64"), np.ones((1, 1)), [""]
        for name in names:
            level = fine[_LEVEL_OF + name].cat
            cell = cell * len(level.categories) + level.codes.to_numpy("int64")
            alike = np.kron(alike, _alike_levels(len(level.categories), bool(level.ordered)))
            told = [f"{before}, {name.replace('_', ' ')} {value}" for before in told for value in level.categories]
        at = np.arange(len(told) * len(part))
        cells = tuple(f"on {_name_part(time)} ({group[2:]})" for group in told for time in PARTS)
        cell = cell * len(part) + fine["part"].to_numpy()
        yield _Look(f"{' × '.join(names)}{_BY_PART}", cell, cells, np.kron(alike, alike_parts), at // len(part))


def _alike_times(hour: np.ndarray, week: np.ndarray) -> np.ndarray:
    """How much two times move together: neighbouring hours much, the same hour of other days by half."""
    near = np.exp(-np.abs(hour[:, None] - hour) / _HOURS_ALIKE)
    return np.asarray(near * np.where(week[:, None] == week, 1.0, _OTHER_DAYS))


def _alike_levels(n: int, is_banded: bool) -> np.ndarray:
    """How much two levels move together: neighbouring bands of a number much, two texts by a quarter."""
    at = np.arange(n)
    if is_banded:
        return np.asarray(np.exp(-np.abs(at[:, None] - at) / _BANDS_ALIKE))
    return np.where(at[:, None] == at, 1.0, _OTHER_LEVEL)


def _draw_contacts(fine: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Contacts of each row of the fine table had nothing moved; (m, n_draws) float32."""
    n = fine["n"].to_numpy()
    p = (fine["expected"] / fine["n"]).to_numpy().clip(0.0, 1.0)
    return rng.binomial(n, p, size=(_N_DRAWS, len(fine))).T.astype("float32")


def _test_window(
    fine: pd.DataFrame, look: _Look, weeks: int, longest: int, contacts: np.ndarray, noise: float
) -> Iterator[tuple[dict[str, float | int | str], np.ndarray]]:
    """Two looks at the newest weeks, at any change and at fading: the row of each, and the p-values of the draws."""
    week = fine["week"].to_numpy()
    score, weight = _score(fine, look, week < weeks, week >= longest, contacts)
    told: dict[str, float | int | str] = {"look": look.name, "weeks": weeks, "n_cells": len(look.names), "noise": noise}
    size, law = _measure(look, score, weight)
    found = _tail(size[:1] / noise, law)
    yield told | {"size": float(size[0] / noise), "p_value": float(found[0])}, _tail(size[1:], law)
    along = np.sum(score * _earlier_pattern(fine, look, week >= longest, contacts), axis=0)
    steps = (along - along[1:].mean()) / max(float(along[1:].std()), 1e-12)
    step = float(steps[0] / np.sqrt(noise))
    faded: dict[str, float | int | str] = {
        "look": look.name + _FADING,
        "size": step**2,
        "p_value": float(norm.cdf(step)),
    }
    yield told | faded, np.asarray(norm.cdf(steps[1:]))


def _score(
    fine: pd.DataFrame, look: _Look, is_new: np.ndarray, is_before: np.ndarray, contacts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Score of a change of each cell's log-odds, level taken out, per column of ``contacts`` (m, d): (C, d), (C,)."""
    beyond = contacts - fine["expected"].to_numpy("float32")[:, None]
    n_cells, variance = len(look.names), fine["variance"].to_numpy()
    r_new, r_before = (_sum_cells(beyond[rows], look.cell[rows], n_cells) for rows in (is_new, is_before))
    v_new, v_before = (_sum_cells(variance[rows, None], look.cell[rows], n_cells)[:, 0] for rows in (is_new, is_before))
    share = v_new / np.maximum(v_new + v_before, 1e-12)
    weight = share * v_before
    score = np.where(weight[:, None] > 0, r_new * (1 - share)[:, None] - r_before * share[:, None], 0.0)
    return score - weight[:, None] * (_mean_of_group(look, weight) @ score), weight


def _mean_of_group(look: _Look, weight: np.ndarray) -> np.ndarray:
    """(C, C) that turns sums of weighted values into the weighted mean of each cell's group."""
    total = np.bincount(look.group, weights=weight)[look.group]
    return np.asarray((look.group[:, None] == look.group) / np.maximum(total, 1e-12))


def _measure(look: _Look, score: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """Size of a look for every column of ``score`` (C, d), 1 by chance; and what the law of chance needs."""
    law = look.alike @ (np.diag(weight) - weight[:, None] * _mean_of_group(look, weight) * weight)
    squared = law @ law
    mean, second, third = np.trace(law), np.trace(squared), float(np.sum(squared * law.T))
    if not mean > 1e-9:
        return np.ones(score.shape[1]), (0.0, 1.0)
    return np.sum(score * (look.alike @ score), axis=0) / mean, (np.sqrt(2 * second) / mean, second**3 / third**2)


def _earlier_pattern(fine: pd.DataFrame, look: _Look, is_before: np.ndarray, contacts: np.ndarray) -> np.ndarray:
    """When each group was reached in the weeks before, shrunk log-odds around its level; (C, d).

    The draws make theirs anew, so that what a pattern owes to chance, and must lose again, is known.
    """
    columns = np.column_stack([fine["n"], fine["variance"], contacts])[is_before]
    summed = _sum_cells(columns, look.cell[is_before], len(look.names))
    n, variance, seen = summed[:, 0], summed[:, 1], summed[:, 2:]
    surplus = seen - n[:, None] * (_mean_of_group(look, n) @ seen)
    shrunk = np.eye(len(n)) + _PATTERN_VARIANCE * look.alike * variance
    return np.linalg.solve(shrunk, _PATTERN_VARIANCE * (look.alike @ surplus))


def _sum_cells(values: np.ndarray, cell: np.ndarray, n_cells: int) -> np.ndarray:
    """Sum rows (m, d) over cells; (n_cells, d)."""
    member = sparse.csr_matrix((np.ones(len(cell)), (cell, np.arange(len(cell)))), shape=(n_cells, len(cell)))
    return np.asarray(member @ values)


def _tail(size: np.ndarray, law: tuple[float, float]) -> np.ndarray:
    """P-values of sizes by a chi-square of the same mean, deviation and skew as the quadratic form."""
    deviation, n_free = law
    if deviation == 0:
        return np.ones(len(size))
    return np.asarray(chi2.sf(np.maximum((size - 1) / deviation * np.sqrt(2 * n_free) + n_free, 0.0), n_free))


def _usual_noise(fine: pd.DataFrame, looks: list[_Look], longest: int) -> list[float]:
    """How much larger than by chance each look at single earlier weeks is, each against the others; at least 1.

    Few weeks tell it badly, so every look's own mean is drawn half way to that of all.
    """
    week, seen = fine["week"].to_numpy(), fine["seen"].to_numpy("float32")[:, None]
    is_before = week >= longest
    own = []
    for look in looks:
        weeks = [(week == one, is_before & (week != one)) for one in set(week[is_before])]
        own.append(np.mean([_measure(look, *_score(fine, look, new, others, seen))[0] for new, others in weeks]))
    return [max(float(mean + np.mean(own)) / 2, 1.0) for mean in own]


def _tell(fine: pd.DataFrame, looks: list[_Look], weeks: int, longest: int, noise: float) -> str:
    """Name the cell of all looks that stands out most, with the 90 % interval of its own change."""
    week, values = fine["week"].to_numpy(), fine[["seen", "expected", "variance"]].to_numpy("float64")
    eras = (week < weeks, week >= longest)
    summed = [np.vstack([_sum_cells(values[era], look.cell[era], len(look.names)) for look in looks]) for era in eras]
    seen, expected, variance = (np.stack([new, before]) for new, before in zip(*(era.T for era in summed), strict=True))
    kept = expected.min(axis=0) >= _LEAST_TOLD
    expected = np.maximum(expected, _LEAST_TOLD)
    # expected means what the earlier weeks lead one to expect: what the model always gets wrong is taken out
    ratio = -np.diff(np.log((seen + 0.5) / (expected + 0.5)), axis=0)[0]
    spread = np.sqrt(noise * np.sum(variance / expected**2, axis=0)) + 1e-9
    most = int(np.argmax(np.where(kept, np.abs(ratio) / spread, -1.0)))
    ends = 100 * np.expm1(ratio[most] + _Z_90 * spread[most] * np.array([-1, 0, 1]))
    low, middle, high = ends if ends[1] > 0 else -ends[::-1]
    side, when = "more" if ends[1] > 0 else "less", "last week" if weeks == 1 else f"in the last {weeks} weeks"
    name = [name for look in looks for name in look.names][most]
    return (
        f"habits have moved: {when} people were reached {middle:.0f} % {side} often than expected {name} "
        f"(90 % interval {low:.0f} to {high:.0f} %)"
    )


def _name_part(part: str) -> str:
    days, _, time = part.partition("_")
    return f"{'weekday' if days == 'weekday' else 'free-day'} {_TIMES[time]}"
