"""The filter of persons: against the exact posterior, against plain algebra, and on people whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import norm
from simulated_logs import START, build_attempts, simulate_calls

from configs.settings import Settings
from features.history import History, build_history
from features.slots import N_SPANS, add_slot_features
from models.contact.fatigue import N_WEIGHTS
from models.contact.persons import (
    Beliefs,
    FailedDials,
    NeverReached,
    PersonStates,
    PriorVariances,
    advance_persons,
    attenuate,
    filter_persons,
    foresee_dials,
    join_kinds,
)
from models.contact.population import learn_never, learn_persons

LEVEL_ONLY = PriorVariances(1.0, 0.0, 0.0, 0.0)


def history_of(
    contacts: list[bool], parts: list[int] | None = None, customer: int = 0, n_customers: int = 1
) -> History:
    at = [START + pd.Timedelta(days=day) for day in range(len(contacts))]
    log = build_attempts(
        [customer] * len(at), pd.DatetimeIndex(at), ["keyman_contact" if c else "busy" for c in contacts]
    )
    hours = np.array(parts or [0] * len(at), dtype="int8")
    return build_history(log.assign(part=hours % 8, span=hours), n_customers)


def simulated(level_sd: float, n: int, seed: int, base: float = -1.5, stops: bool = True) -> tuple[History, np.ndarray]:
    rng = np.random.default_rng(seed)
    person = rng.normal(0.0, level_sd, n)
    attempts = add_slot_features(simulate_calls(base + person, rng, stops=stops), "attempted_at", Settings())
    return build_history(attempts, n), person


@pytest.mark.parametrize("contacts", [[0], [1], [0, 0, 0], [1, 0, 1], [0, 0, 0, 0, 0, 1], [1, 1, 1, 1], [0] * 10])
@pytest.mark.parametrize("base", [-2.0, 0.0])
def test_the_filter_agrees_with_the_exact_posterior(contacts: list[int], base: float) -> None:
    grid = np.linspace(-8, 8, 4001)
    weight = norm.pdf(grid)
    for contact in contacts:
        p = expit(base + grid)
        weight = weight * (p if contact else 1 - p)
    weight /= weight.sum()
    mean = weight @ grid
    variance = weight @ (grid - mean) ** 2
    logit = np.full(len(contacts), base)
    states = filter_persons(history_of([bool(c) for c in contacts]), logit, LEVEL_ONLY.covariance())
    assert states.mean_after[-1, 0] == pytest.approx(mean, abs=0.1)
    assert states.variance_after[-1, 0] == pytest.approx(variance, rel=0.2)


def test_one_step_is_the_textbook_update() -> None:
    prior = PriorVariances().covariance()
    states = filter_persons(history_of([True], [3]), np.array([-1.0]), prior)
    kappa = 1 / np.sqrt(1 + np.pi / 8 * prior[3, 3])
    p = expit(kappa * -1.0)
    assert states.mean_before.tolist() == [0.0]
    assert states.variance_before == pytest.approx([prior[3, 3]])
    assert states.mean_after[0] == pytest.approx(prior[:, 3] * kappa * (1 - p), rel=1e-5)
    assert states.variance_after[0] == pytest.approx(
        np.diag(prior) - prior[:, 3] ** 2 * kappa**2 * p * (1 - p), rel=1e-5
    )


def slow_filter(
    contacts: np.ndarray, parts: np.ndarray, logit: np.ndarray, prior: np.ndarray
) -> tuple[np.ndarray, float]:
    """The same with matrices; mean after every dial, log-likelihood."""
    mean, cov, means, total = np.zeros(N_SPANS), prior.copy(), [], 0.0
    for contact, part, offset in zip(contacts, parts, logit, strict=True):
        h = np.eye(N_SPANS)[part]
        kappa = 1 / np.sqrt(1 + np.pi / 8 * h @ cov @ h)
        p = expit(kappa * (offset + h @ mean))
        total += np.log(p) if contact else np.log(1 - p)
        mean = mean + cov @ h * kappa * (contact - p)
        cov = cov - np.outer(cov @ h, cov @ h) * kappa**2 * p * (1 - p)
        means.append(mean)
    return np.array(means), total


def test_a_long_series_over_all_parts_equals_matrix_algebra() -> None:
    rng = np.random.default_rng(1)
    contacts, parts, logit = rng.random(30) < 0.4, rng.integers(0, 12, 30), rng.normal(-1, 1, 30)
    prior = PriorVariances(0.8, 0.3, 0.2, 0.1).covariance()
    states = filter_persons(history_of(contacts.tolist(), parts.tolist()), logit, prior)
    means, total = slow_filter(contacts, parts, logit, prior)
    assert states.mean_after == pytest.approx(means, abs=1e-4)
    assert states.log_likelihood == pytest.approx(total, rel=1e-6)
    assert states.mean_before[1:] == pytest.approx(means[np.arange(29), parts[1:]], abs=1e-4)


def test_what_is_foreseen_of_dialled_spans_is_what_the_whole_filter_says() -> None:
    rng = np.random.default_rng(3)
    attempts = add_slot_features(simulate_calls(rng.normal(-1, 1, 300), rng), "attempted_at", Settings())
    history = build_history(attempts, 300)
    logit, prior = rng.normal(-1, 1, len(attempts)), PriorVariances(0.8, 0.3, 0.2, 0.1).covariance()
    whole, foreseen = filter_persons(history, logit, prior), foresee_dials(history, logit, prior)
    assert np.array_equal(foreseen.mean, whole.mean_before)
    assert np.array_equal(foreseen.variance, whole.variance_before)
    assert np.array_equal(foreseen.p_reached, whole.p_reached)


def test_failures_lower_and_contacts_raise_what_is_believed() -> None:
    logit = np.full(6, -1.0)
    prior = PriorVariances().covariance()
    failed = filter_persons(history_of([False] * 6), logit, prior).mean_after[:, 0]
    reached = filter_persons(history_of([True] * 6), logit, prior).mean_after[:, 0]
    assert (np.diff(failed, prepend=0.0) < 0).all()
    assert (np.diff(reached, prepend=0.0) > 0).all()
    assert reached[0] > -failed[0]  # a rare event says more


def test_every_dial_makes_the_belief_firmer() -> None:
    states = filter_persons(history_of([False, True] * 5), np.full(10, -1.0), PriorVariances().covariance())
    assert (np.diff(states.variance_after[:, 0]) < 0).all()
    assert (states.variance_after > 0).all()
    assert (states.variance_after < states.prior_variance).all()


def test_an_hour_teaches_the_others_by_the_covariance() -> None:
    own = PriorVariances(0.0, 0.0, 0.0, 1.0)
    alone = filter_persons(history_of([True], [5]), np.zeros(1), own.covariance()).mean_after[0]
    assert alone[5] > 0.3
    assert alone[5] > 2 * alone[4] > 4 * alone[3] > 0
    assert alone[6:].tolist() == [0.0] * 6
    week = PriorVariances(0.0, 0.0, 1.0, 0.0)
    same_week = filter_persons(history_of([True], [5]), np.zeros(1), week.covariance()).mean_after[0]
    assert (same_week[:6] > 0.3).all()
    assert same_week[6:].tolist() == [0.0] * 6
    hours = PriorVariances(0.0, 1.0, 0.0, 0.0)
    near = filter_persons(history_of([True], [5]), np.zeros(1), hours.covariance()).mean_after[0]
    assert (np.diff(near[:6]) > 0).all()
    assert near[:6] == pytest.approx(near[6:])


def test_covariances_are_symmetric_positive_and_add_up() -> None:
    prior = PriorVariances(0.4, 0.15, 0.05, 0.05).covariance()
    assert prior.shape == (N_SPANS, N_SPANS)
    assert (prior == prior.T).all()
    assert np.linalg.eigvalsh(prior).min() > 0
    assert np.diag(prior) == pytest.approx(0.65)


def test_the_order_of_customers_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    n = 40
    attempts = add_slot_features(simulate_calls(rng.normal(-1, 1, n), rng), "attempted_at", Settings())
    renamed = rng.permutation(n)
    prior = PriorVariances().covariance()

    def last_means(rows: np.ndarray) -> tuple[np.ndarray, float]:
        history = build_history(attempts.assign(customer_row=rows), n)
        states = filter_persons(history, np.full(len(rows), -1.0), prior)
        return states.at(history.first[1:], history.first[:-1])[0], states.log_likelihood

    straight, total = last_means(attempts["customer_row"].to_numpy())
    mixed, same_total = last_means(renamed[attempts["customer_row"].to_numpy()])
    assert (mixed[renamed] == straight).all()
    assert same_total == pytest.approx(total)


def test_the_log_likelihood_is_the_product_of_what_was_predicted() -> None:
    history, _ = simulated(1.0, 200, 3)
    logit = np.full(len(history.seconds), -1.5)
    states = filter_persons(history, logit, PriorVariances().covariance())
    p = expit(attenuate(states.variance_before) * (logit + states.mean_before))
    assert np.log(np.where(history.is_contact, p, 1 - p)).sum() == pytest.approx(states.log_likelihood, rel=1e-5)


def test_before_the_first_dial_the_prior_holds() -> None:
    history = history_of([False, False], customer=1, n_customers=3)
    states = filter_persons(history, np.zeros(2), LEVEL_ONLY.covariance())
    rows = np.array([0, 1, 1, 1, 2])
    position = np.array([0, 0, 1, 2, 2])
    mean, variance, never = states.at(position, history.first[rows])
    assert never.tolist() == [0.0] * 5
    assert mean[:, 0].tolist() == [0, 0, states.mean_after[0, 0], states.mean_after[1, 0], 0]
    assert variance[:, 0].tolist() == [1, 1, states.variance_after[0, 0], states.variance_after[1, 0], 1]


def test_without_a_log_everyone_is_as_the_prior_says() -> None:
    history = history_of([], n_customers=2)
    states = filter_persons(history, np.zeros(0), LEVEL_ONLY.covariance())
    mean, variance, _ = states.at(np.zeros(2, dtype=int), history.first[[0, 1]])
    assert (mean == 0).all()
    assert (variance == 1).all()
    assert states.log_likelihood == 0.0


def advanced(
    history: History, n_planned: int, never: NeverReached, fatigue: np.ndarray
) -> tuple[Beliefs, PersonStates]:
    """Beliefs about customer 0 when the last ``n_planned`` of its dials are planned ones that fail."""
    n, prior = len(history.seconds), PriorVariances().covariance()
    logit = np.full(n, -1.0)
    states = filter_persons(history, logit, prior, never)
    begin = n - n_planned
    instant = history.seconds[begin : begin + 1]
    faded = history.faded_failures_at(np.zeros(1, dtype=int), instant)
    start = Beliefs(*states.at(np.array([begin]), np.zeros(1, dtype=int)), faded, instant)
    path = FailedDials(history.part, history.span, history.seconds, logit, np.array([begin]), np.array([n]))
    return advance_persons(history, logit, prior, never, fatigue, start, np.zeros(1, dtype=int), path), states


def test_planned_dials_that_fail_are_the_filters_own_steps() -> None:
    history = history_of([False, True, False, False, False], [0, 3, 3, 0, 7])
    never = NeverReached(0.2, 0.0)
    then, states = advanced(history, 3, never, np.zeros(N_WEIGHTS))
    assert then.mean[0] == pytest.approx(states.mean_after[-1], abs=1e-6)
    assert then.variance[0] == pytest.approx(states.variance_after[-1], abs=1e-6)
    assert then.never[0] == pytest.approx(states.never_after[-1])
    later = history.seconds[-1:] + 1
    assert then.seconds.tolist() == history.seconds[-1:].tolist()
    assert then.faded[0] == pytest.approx(history.faded_failures_at(np.zeros(1, dtype=int), later)[0], abs=1e-4)


def test_a_planned_failure_is_less_of_a_surprise_to_who_is_worn() -> None:
    history = history_of([False] * 4, [3] * 4)
    fresh, _ = advanced(history, 2, NeverReached(), np.zeros(N_WEIGHTS))
    worn, _ = advanced(history, 2, NeverReached(), np.full(N_WEIGHTS, -0.3))
    assert worn.mean[0, 3] > fresh.mean[0, 3]


def test_failures_raise_the_chance_of_a_wrong_number_and_a_contact_ends_it() -> None:
    never = NeverReached(0.05, 0.3)
    states = filter_persons(history_of([False, False, True]), np.full(3, -1.0), LEVEL_ONLY.covariance(), never)
    p = expit(attenuate(np.ones(1)) * -1.0)[0]
    open_, gone = 0.95 * (1 - p), 0.05 * 0.7
    assert states.never_before[0] == pytest.approx(0.05)
    assert states.never_after[0] == pytest.approx(gone / (gone + open_), rel=1e-5)
    assert states.never_after[2] == 0.0
    plain = filter_persons(history_of([False, False, True]), np.full(3, -1.0), LEVEL_ONLY.covariance())
    assert (states.mean_after == plain.mean_after).all()  # what is believed of who can be reached is the same


def test_the_two_kinds_join_to_the_mean_of_their_probabilities() -> None:
    logit = np.array([-2.0, 0.0, 1.0])
    assert expit(join_kinds(logit, np.full(3, 0.25))) == pytest.approx(0.75 * expit(logit))
    assert join_kinds(logit, np.zeros(3)) == pytest.approx(logit)


def test_the_share_of_wrong_numbers_and_how_often_they_are_told_come_back() -> None:
    """A tenth can never be reached; a third of the dials to them are told to be a wrong number, and end the series."""
    rng = np.random.default_rng(8)
    n, n_dials = 6_000, 6
    is_never = rng.random(n) < 0.1
    outcome = np.where(rng.random((n, n_dials)) < 0.25, "keyman_contact", "no_answer").astype(object)
    outcome[is_never] = np.where(rng.random((int(is_never.sum()), n_dials)) < 0.33, "wrong_number", "no_answer")
    ends = np.cumsum(np.cumsum(outcome != "no_answer", axis=1), axis=1) <= 1
    rows, days = np.nonzero(ends)
    log = build_attempts(rows, START + pd.to_timedelta(days, unit="D"), outcome[rows, days])
    history = build_history(log.assign(part=np.int8(0), span=np.int8(0)), n)
    logit, prior = np.full(len(log), np.log(1 / 3)), PriorVariances(0.01, 0.0, 0.0, 0.0).covariance()
    p_reached = foresee_dials(history, logit, prior).p_reached
    never = learn_never(history, p_reached, NeverReached(0.03, 0.1), n_steps=15)
    assert never.share == pytest.approx(0.1, abs=0.02)
    assert never.p_told == pytest.approx(0.33, abs=0.05)


def learn_from(history: History, logit: np.ndarray) -> tuple[PriorVariances, np.ndarray, float]:
    """Learn how persons differ where nobody wears out and nobody is never reached."""
    nothing = np.zeros((len(logit), N_WEIGHTS))
    return learn_persons(history, logit, nothing, (PriorVariances(), np.zeros(N_WEIGHTS)), NeverReached())


def test_large_and_small_differences_between_persons_are_told_apart() -> None:
    def level(level_sd: float) -> float:
        history, _ = simulated(level_sd, 2_000, 4, stops=False)
        learned, _, _ = learn_from(history, np.full(len(history.seconds), -1.5))
        return learned.level + learned.week + learned.time_of_day + learned.own

    small, large = level(0.2), level(1.2)
    assert small < 0.3
    assert 1.0 < large < 2.2


@pytest.fixture(scope="module")
def stopped() -> tuple[History, np.ndarray, np.ndarray]:
    """Persons dialled until they answer, at most ten times: their dials, true levels, and the logit without them."""
    history, person = simulated(1.0, 4_000, 5)
    return history, person, np.full(len(history.seconds), -1.5)


def test_the_end_of_a_series_by_a_contact_does_not_bias_the_spread_of_persons(stopped) -> None:
    history, _, logit = stopped
    learned, _, shift = learn_from(history, logit)
    assert shift == pytest.approx(0.0, abs=0.1)
    assert 0.75 < learned.level < 1.35
    assert max(learned.time_of_day, learned.week, learned.own) < 0.55 * learned.level


def test_a_wrong_overall_rate_is_shifted_and_not_blamed_on_persons(stopped) -> None:
    """Without the shift, more variance would stand in for a rate nearer to a half, in whatever part it can."""
    history, _, logit = stopped
    right, _, _ = learn_from(history, logit)
    wrong, _, shift = learn_from(history, logit - 0.3)
    assert shift == pytest.approx(0.3, abs=0.12)
    assert wrong.own == pytest.approx(right.own, abs=0.12)
    assert wrong.level == pytest.approx(right.level, rel=0.25)


def test_nor_the_level_of_persons(stopped) -> None:
    """The plain rate of each person, by contrast, has its mean far above the true one."""
    history, person, logit = stopped
    states = filter_persons(history, logit, LEVEL_ONLY.covariance())
    mean, variance, _ = states.at(history.first[1:], history.first[:-1])
    assert mean[:, 0].mean() == pytest.approx(person.mean(), abs=0.06)
    for low, high in ((-5.0, -0.5), (-0.5, 0.5), (0.5, 5.0)):
        alike = (mean[:, 0] > low) & (mean[:, 0] < high)
        assert mean[alike, 0].mean() == pytest.approx(person[alike].mean(), abs=0.12)
    assert np.mean((person - mean[:, 0]) ** 2) == pytest.approx(variance[:, 0].mean(), rel=0.12)
    n_dials = np.diff(history.first)
    own_rate = np.add.reduceat(history.is_contact, history.first[:-1]) / n_dials
    assert own_rate.mean() > expit(-1.5 + person).mean() + 0.1
