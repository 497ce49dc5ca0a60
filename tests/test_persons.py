"""The filter of persons: against the exact posterior, against plain algebra, and on people whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import norm
from simulated_logs import START, build_attempts, simulate_calls

from configs.settings import Settings
from features.history import History, build_history
from features.slots import PARTS, add_slot_features
from models.contact.persons import N_PARTS, PriorVariances, attenuate, expect_failures, filter_persons, learn_variances

LEVEL_ONLY = PriorVariances(1.0, 0.0, 0.0, 0.0)


def history_of(
    contacts: list[bool], parts: list[int] | None = None, customer: int = 0, n_customers: int = 1
) -> History:
    at = [START + pd.Timedelta(days=day) for day in range(len(contacts))]
    log = build_attempts(
        [customer] * len(at), pd.DatetimeIndex(at), ["keyman_contact" if c else "busy" for c in contacts]
    )
    return build_history(log.assign(part=np.array(parts or [0] * len(at), dtype="int8")), n_customers)


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
    mean, cov, means, total = np.zeros(N_PARTS), prior.copy(), [], 0.0
    for contact, part, offset in zip(contacts, parts, logit, strict=True):
        h = np.eye(N_PARTS)[part]
        kappa = 1 / np.sqrt(1 + np.pi / 8 * h @ cov @ h)
        p = expit(kappa * (offset + h @ mean))
        total += np.log(p) if contact else np.log(1 - p)
        mean = mean + cov @ h * kappa * (contact - p)
        cov = cov - np.outer(cov @ h, cov @ h) * kappa**2 * p * (1 - p)
        means.append(mean)
    return np.array(means), total


def test_a_long_series_over_all_parts_equals_matrix_algebra() -> None:
    rng = np.random.default_rng(1)
    contacts, parts, logit = rng.random(30) < 0.4, rng.integers(0, 8, 30), rng.normal(-1, 1, 30)
    prior = PriorVariances(0.8, 0.3, 0.2, 0.1).covariance()
    states = filter_persons(history_of(contacts.tolist(), parts.tolist()), logit, prior)
    means, total = slow_filter(contacts, parts, logit, prior)
    assert states.mean_after == pytest.approx(means, abs=1e-4)
    assert states.log_likelihood == pytest.approx(total, rel=1e-6)
    assert states.mean_before[1:] == pytest.approx(means[np.arange(29), parts[1:]], abs=1e-4)


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


def test_a_part_teaches_the_others_by_the_covariance() -> None:
    own = PriorVariances(0.0, 0.0, 0.0, 1.0)
    alone = filter_persons(history_of([True], [3]), np.zeros(1), own.covariance()).mean_after[0]
    assert alone[3] > 0.3
    assert np.delete(alone, 3).tolist() == [0.0] * 7
    week = PriorVariances(0.0, 0.0, 1.0, 0.0)
    same_week = filter_persons(history_of([True], [3]), np.zeros(1), week.covariance()).mean_after[0]
    assert (same_week[:4] > 0.3).all()
    assert same_week[4:].tolist() == [0.0] * 4
    hours = PriorVariances(0.0, 1.0, 0.0, 0.0)
    near = filter_persons(history_of([True], [3]), np.zeros(1), hours.covariance()).mean_after[0]
    assert near[3] > near[2] > near[1] > near[0] > 0
    assert near[:4] == pytest.approx(near[4:])


def test_covariances_are_symmetric_positive_and_add_up() -> None:
    prior = PriorVariances(0.4, 0.15, 0.05, 0.05).covariance()
    assert prior.shape == (len(PARTS), len(PARTS))
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
    mean, variance = states.at(position, history.first[rows])
    assert mean[:, 0].tolist() == [0, 0, states.mean_after[0, 0], states.mean_after[1, 0], 0]
    assert variance[:, 0].tolist() == [1, 1, states.variance_after[0, 0], states.variance_after[1, 0], 1]


def test_without_a_log_everyone_is_as_the_prior_says() -> None:
    history = history_of([], n_customers=2)
    states = filter_persons(history, np.zeros(0), LEVEL_ONLY.covariance())
    mean, variance = states.at(np.zeros(2, dtype=int), history.first[[0, 1]])
    assert (mean == 0).all()
    assert (variance == 1).all()
    assert states.log_likelihood == 0.0


def test_a_planned_dial_that_fails_is_the_filters_own_step() -> None:
    """Persons who differ in level alone: what one failure will teach is what the filter learns from one."""
    states = filter_persons(history_of([False]), np.array([-1.0]), LEVEL_ONLY.covariance())
    one = expect_failures(np.array([-1.0]), np.ones(1), np.array([1]), LEVEL_ONLY)
    assert one == pytest.approx(attenuate(np.ones(1)) * (-1.0 + states.mean_after[0, 0]), rel=1e-5)
    own_parts = PriorVariances(0.0, 0.0, 0.0, 1.0)
    assert expect_failures(np.array([-1.0]), np.ones(1), np.array([3]), own_parts) == pytest.approx(
        attenuate(np.ones(1)) * -1.0
    )
    series = expect_failures(np.full(4, -1.0), np.ones(4), np.arange(4), LEVEL_ONLY)
    assert (np.diff(series) < 0).all()


def test_large_and_small_differences_between_persons_are_told_apart() -> None:
    def level(level_sd: float) -> float:
        history, _ = simulated(level_sd, 2_000, 4, stops=False)
        learned, _ = learn_variances(history, np.full(len(history.seconds), -1.5), PriorVariances())
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
    learned, shift = learn_variances(history, logit, PriorVariances())
    assert shift == pytest.approx(0.0, abs=0.1)
    assert 0.75 < learned.level < 1.35
    assert max(learned.time_of_day, learned.week, learned.own) < 0.3


def test_a_wrong_overall_rate_is_shifted_and_not_blamed_on_persons(stopped) -> None:
    """Without the shift, more variance would stand in for a rate nearer to a half, in whatever part it can."""
    history, _, logit = stopped
    right, _ = learn_variances(history, logit, PriorVariances())
    wrong, shift = learn_variances(history, logit - 0.3, PriorVariances())
    assert shift == pytest.approx(0.3, abs=0.12)
    assert wrong.own < 0.15
    assert wrong.level == pytest.approx(right.level, rel=0.25)


def test_nor_the_level_of_persons(stopped) -> None:
    """The plain rate of each person, by contrast, has its mean far above the true one."""
    history, person, logit = stopped
    states = filter_persons(history, logit, LEVEL_ONLY.covariance())
    mean, variance = states.at(history.first[1:], history.first[:-1])
    assert mean[:, 0].mean() == pytest.approx(person.mean(), abs=0.06)
    for low, high in ((-5.0, -0.5), (-0.5, 0.5), (0.5, 5.0)):
        alike = (mean[:, 0] > low) & (mean[:, 0] < high)
        assert mean[alike, 0].mean() == pytest.approx(person[alike].mean(), abs=0.12)
    assert np.mean((person - mean[:, 0]) ** 2) == pytest.approx(variance[:, 0].mean(), rel=0.12)
    n_dials = np.diff(history.first)
    own_rate = np.add.reduceat(history.is_contact, history.first[:-1]) / n_dials
    assert own_rate.mean() > expit(-1.5 + person).mean() + 0.1
