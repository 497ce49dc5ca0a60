"""The report: honest words, shaded tables and drawings in one offline page."""

import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from configs.settings import Settings
from features.contracts import CheckReport, Tables
from features.slots import build_slots
from models.contact.fitting import FittedNight
from models.contact.leads import LEAD_COLUMNS
from models.contact.model import ContactModel
from models.contact.off_policy import OffPolicy
from models.contact.policy_value import Estimate, PolicyValue
from models.planning.advice import StaffingAdvice
from models.planning.shifts import Roster
from models.planning.staffing import Worth
from pipelines.exports import build_report, sentences
from pipelines.exports.heatmaps import build_plan_maps
from pipelines.exports.segments import build_segments
from pipelines.night import Night

ZONE = "Asia/Tokyo"
AS_OF = pd.Timestamp("2026-11-02", tz=ZONE).as_unit("us")
HOURS = range(9, 21)
GAINS = {
    "timing": {"ratio": 1.043, "low": 0.991, "high": 1.094, "basis": "model"},
    "list": {"ratio": 1.212, "low": 1.171, "high": 1.258, "basis": "model"},
    "staffing": {"ratio": 1.0, "low": 1.0, "high": 1.0, "basis": "model"},
    "total": {"ratio": 1.264, "low": 1.19, "high": 1.338, "basis": "model"},
}


def _build_tables(n_customers: int, n_attempts: int, rng: np.random.Generator) -> Tables:
    customers = pd.DataFrame(
        {
            "customer_id": [f"C{i:06d}" for i in range(n_customers)],
            "age": rng.normal(45, 16, n_customers).clip(18, 92).astype("float32"),
            "gender": rng.choice(["male", "female"], n_customers),
            "region": rng.choice(
                ["東京都", "大阪府", "北海道", "沖縄県", "愛知県", "福岡県"],
                n_customers,
                p=[0.4, 0.2, 0.1, 0.05, 0.15, 0.1],
            ),
            "phone": [f"090{i:08d}" for i in range(n_customers)],
            "listed": True,
        }
    )
    rows = rng.integers(0, n_customers, n_attempts).astype("int32")
    hour = rng.choice(np.array([*HOURS]), n_attempts, p=np.array([9, 10, 10, 9, 9, 9, 9, 9, 9, 8, 7, 2]) / 100)
    day = rng.integers(1, 61, n_attempts)
    at = AS_OF - pd.to_timedelta(day, unit="D") + pd.to_timedelta(hour, unit="h")
    p = 0.10 + 0.03 * (hour >= 17) + 0.02 * (at.day_of_week >= 5) + 0.0015 * (customers["age"].to_numpy()[rows] - 45)
    outcome = np.where(
        rng.random(n_attempts) < p, "keyman_contact", rng.choice(["no_answer", "third_party"], n_attempts)
    )
    attempts = pd.DataFrame(
        {
            "attempt_id": np.arange(n_attempts).astype("str"),
            "customer_row": rows,
            "attempted_at": at,
            "outcome": outcome,
            "converted": (outcome == "keyman_contact") & (rng.random(n_attempts) < 0.1),
        }
    )
    held = pd.DataFrame({"customer_row": np.array([], dtype="int32")})
    return Tables(customers, attempts.sort_values("attempted_at", ignore_index=True), None, None, held)


def _build_plan(slots: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    n_slots = len(slots)
    given = np.where(slots["hour"] < 17, 60, 35)
    slot_row = np.repeat(np.arange(n_slots), given)
    rank = np.concatenate([np.arange(1, n + 1) for n in given])
    start = slots["slot_start"].to_numpy()[slot_row]
    starts = pd.Series(
        pd.DatetimeIndex(start).tz_localize("UTC").tz_convert(ZONE) if start.dtype.kind == "M" else start
    )
    is_firm = (starts.dt.date == AS_OF.date()).to_numpy()
    call_list = pd.DataFrame(
        {
            "run_date": AS_OF.date(),
            "slot_start": starts,
            "rank": rank,
            "customer_id": [f"C{i:06d}" for i in rng.permutation(len(rank))],
            "p_keyman": (0.2 * np.exp(-rank / 60) + 0.02 * (slots["hour"].to_numpy()[slot_row] >= 17)).astype(
                "float32"
            ),
            "attempt_number": rng.integers(1, 11, len(rank)),
            "value": 1.0,
            "is_firm": is_firm,
            "arm": "plan",
            "propensity": 1.0,
            "reason": np.where(is_firm, "answered twice in the evening; never tried on a Monday", None),
            "allowed_because": "house 1 · jp-telecom 2026-04 · jp-sales 2026-04",
            "reason_ja": np.where(is_firm, "平日夜に2回応答／休日午前は未架電", None),
        }
    )
    price = 0.6 + 0.5 * np.sin((slots["hour"].to_numpy() - 9) / 11 * 3.1) ** 3 + 0.25 * (slots["hour"].to_numpy() >= 17)
    recommended = np.where(price > 1.0, given + 12, given - 7)
    staffing = pd.DataFrame(
        {
            "slot_start": slots["slot_start"],
            "dials_given": given,
            "dials_recommended": recommended,
            "agents_recommended": recommended / 12,
            "seat_price": price,
            "expected_contacts": given * 0.13,
            "hint": np.where(price > 1.0, "add_seats", np.where(price < 0.62, "training", "hold")),
        }
    )
    return call_list, staffing


def _build_fitted() -> FittedNight:
    scores = {
        "overall rate": (0.3651, 0.5),
        "segment table": (0.3634, 0.531),
        "logistic regression": (0.3575, 0.602),
        "LightGBM": (0.3512, 0.641),
    }
    rivals = pd.DataFrame(
        [
            {"rival": rival, "fold": fold, "n_rows": 9210, "n_contacts": 1103, "log_loss": loss + shift, "auc": auc,
             "brier": 0.1052, "calibration_error": 0.0061, "lift_top_tenth": 1 + 4 * (auc - 0.5)}
            for fold, shift in (("forward", 0.0), ("unseen customers", 0.002))
            for rival, (loss, auc) in scores.items()
        ]
    )  # fmt: skip
    leads = pd.DataFrame(
        [[rival, 9210, 5120, loss - 0.3512, 1 - 0.3512 / loss, loss - 0.3512 - 0.002, loss - 0.3512 + 0.002]
         for rival, (loss, _) in scores.items() if rival != "LightGBM"],
        columns=list(LEAD_COLUMNS),
    )  # fmt: skip
    p = np.linspace(0.04, 0.28, 10)
    calibration = pd.DataFrame({"fold": "forward", "n": 921, "p_mean": p, "contact_rate": p + 0.012 * np.sin(20 * p)})
    names = ["person_rate", "days_since_last", "failures", "age", "hour", "region", "weekday", "week_of_month"]
    importance = pd.DataFrame({"feature": names, "gain_share": np.array([38, 21, 14, 9, 8, 5, 3, 2]) / 100})
    model = ContactModel(cast(Any, None), "", cast(Any, None), ("age", "gender", "region"))
    return FittedNight(
        model, model, rivals, leads, calibration, importance, {"n_leaves": 15}, {"auc": 0.641}, {"fit": 12.5}
    )


def _build_night() -> Night:
    rng = np.random.default_rng(7)
    settings = Settings(simulated=True)
    starts = pd.DatetimeIndex([AS_OF + pd.Timedelta(days=d, hours=h) for d in range(7) for h in HOURS])
    slots = build_slots(starts, settings)
    call_list, staffing = _build_plan(slots, rng)
    reasons = np.repeat(
        ["no_capacity", "attempt_cap", "contacted", "do_not_call", "refused", "quarantined"], [900, 320, 210, 88, 40, 3]
    )
    excluded = pd.DataFrame({"customer_id": [f"X{i}" for i in range(len(reasons))], "reason": reasons})
    rejects = pd.DataFrame(
        {
            "table": "call_attempts",
            "row": [88, 90],
            "column": "attempted_at",
            "value": ["2026-13-01", "x"],
            "reason": "no time",
        }
    )
    report = CheckReport(
        rejects, ("X9",), {"call_attempts_read": 40_012, "customers_read": 9_000}, ("12 attempts were ignored",)
    )
    return Night(
        run_id="20261102-0a1b2c3d",
        as_of=AS_OF,
        source="sample world",
        fingerprint={"customers": "ab" * 32},
        settings=settings,
        staffing_mode="fixed",
        tables=_build_tables(5_000, 15_000, rng),
        report=report,
        slots=slots,
        call_list=call_list,
        excluded=excluded,
        staffing=staffing,
        gains=GAINS,
        plan={"upper_bound": 612.0, "gap": 0.0015, "expected_contacts": 594.2, "n_dials": float(len(call_list))},
        fitted=_build_fitted(),
        model_name="contact",
        model_version="3",
        stages=(
            {"stage": "read", "seconds": 1.2, "peak_mb": 310.0},
            {"stage": "fit", "seconds": 14.0, "peak_mb": 900.0},
        ),
        versions={"pandas": "3.1.1"},
        notes=("The horizon holds one public holiday.",),
    )


@pytest.fixture(scope="module")
def night() -> Night:
    return _build_night()


@pytest.fixture(scope="module")
def page(night: Night) -> str:
    return build_report(night)


class _Outline(HTMLParser):
    """What a page is made of: tags with attributes, and its visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def _plain(sentence: str) -> str:
    return sentence.replace("\N{NO-BREAK SPACE}", " ")


def _read(night: Night) -> str:
    return _Outline(build_report(night)).text


def test_the_page_is_well_formed_and_its_sections_come_in_the_agreed_order(page: str) -> None:
    outline = _Outline(page)
    assert outline.open == []
    ids = [attributes.get("id") for tag, attributes in outline.tags if tag == "h2"]
    assert ids == ["gains", "log", "plan", "list", "excluded", "staffing", "models", "drift", "card", "run"]
    links = [attributes["href"] for tag, attributes in outline.tags if tag == "a"]
    assert links == [f"#{id_}" for id_ in ids]


def test_the_page_names_no_outside_address_and_runs_no_script(page: str) -> None:
    assert not re.search(r"https?:|//[a-z]|@import|url\(", page, re.IGNORECASE)
    outline = _Outline(page)
    assert not {tag for tag, _ in outline.tags} & {"script", "iframe", "img", "object", "embed", "form"}
    for _, attributes in outline.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,"))
    assert any((attributes.get("content") or "").startswith("default-src 'none'") for _, attributes in outline.tags)


def _ask_log(low: float, ratio: float, high: float) -> OffPolicy:
    value = PolicyValue(Estimate(1.061, 1.02, 1.11), Estimate(ratio, low, high), 14_210.0, 1.01, 0.0004)
    return OffPolicy(28_512, 7, 0.0975, "log", value, 1.054, 0.61, 0.973)


@pytest.mark.parametrize(
    ("low", "ratio", "high", "verdict"),
    [
        (1.03, 1.06, 1.09, "the log shows a gain"),
        (0.99, 1.02, 1.05, "the interval holds 1.0, so the log shows no gain"),
        (0.9, 0.94, 0.98, "the log shows a loss"),
    ],
)
def test_the_log_has_its_say_beside_the_gains(
    night: Night, low: float, ratio: float, high: float, verdict: str
) -> None:
    fitted = replace(_build_fitted(), off_policy=_ask_log(low, ratio, high))
    said = _plain(_read(replace(night, fitted=fitted)))
    assert (
        "had the first dials to 28,512 customers in the newest 7 days been moved towards the hours that the model "
        "would choose for them, with as many dials in every hour, they would have brought "
        f"{ratio:.2f} times as many contacts (90 % interval {low:.2f} to {high:.2f}): {verdict}. The model itself "
        "expected 1.05; reweighting without the model gives 1.06 (1.02 to 1.11)."
    ) in said
    assert "goes 61 % of the way to the model's own hours" in said
    assert "an effective sample of 14,210 dials" in said
    assert "97 % of the model's hours had been tried" in said


def test_a_log_that_cannot_answer_says_why_and_one_that_was_not_asked_says_nothing(night: Night) -> None:
    why = "overlap too thin: effective sample of 210 dials; at least 1,000 needed"
    fitted = replace(_build_fitted(), off_policy=OffPolicy(400, 7, 0.1, "log", refusal=why))
    assert f"from logged outcomes alone, is not given: {why}." in _read(replace(night, fitted=fitted))
    for silent in (None, _build_fitted()):
        assert "A second opinion" not in _read(replace(night, fitted=silent))


def test_a_region_named_like_a_script_is_shown_and_never_run(night: Night) -> None:
    evil = '<script>alert("x")</script>'
    customers = night.tables.customers.assign(region=evil)
    call_list = night.call_list.assign(customer_id=evil, reason="<img src=x onerror=y>", reason_ja=evil)
    gains = {**GAINS, "timing": {**GAINS["timing"], "basis": "<b>model</b>"}}
    tables = replace(night.tables, customers=customers)
    page = build_report(replace(night, tables=tables, call_list=call_list, gains=gains, notes=(evil,)))
    outline = _Outline(page)
    assert not {tag for tag, _ in outline.tags} & {"script", "img"}
    assert "&lt;script&gt;" in page
    assert "<b>model" not in page


def test_phone_numbers_never_reach_the_page(page: str) -> None:
    assert not re.search(r"090\d{8}", page)


def test_the_same_night_gives_the_same_page(night: Night, page: str) -> None:
    assert build_report(night) == page


def test_every_table_has_a_caption_and_every_drawing_a_spoken_name(page: str) -> None:
    tags = _Outline(page).tags
    assert sum(tag == "table" for tag, _ in tags) == sum(tag == "caption" for tag, _ in tags) > 10
    drawings = [attributes for tag, attributes in tags if tag == "svg"]
    assert len(drawings) == 5
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in drawings)


def test_simulated_data_are_announced_loudly_and_real_data_are_not(night: Night, page: str) -> None:
    assert "Simulated data." in _Outline(page).text
    real = _read(replace(night, settings=Settings(simulated=False)))
    assert "imulated" not in real.replace("in simulation", "")


def test_the_headline_states_dials_contacts_rate_and_the_historical_way(night: Night) -> None:
    assert _plain(sentences.build_headline(night)) == (
        "4,340 dials to 4,340 customers are expected to bring 594 keyman contacts: 13.7 % of the planned dials."
    )
    assert sentences.build_comparison(night) == (
        "For each dial made, the plan is expected to reach 1.26 times as many people as filling the same "
        "places the historical way would; "
        "the 90 % interval runs from 1.19 to 1.34."
    )


@pytest.mark.parametrize(
    ("ratio", "low", "high", "verdict", "said"),
    [
        (1.02, 0.97, 1.07, "none", "No gain over the historical way is shown"),
        (1.0, 1.0, 1.0, "none", "No gain over the historical way is shown"),
        (0.9, 0.85, 0.97, "loss", "It does worse: do not use it"),
        (1.2, 1.01, 1.4, "gain", "reach 1.20 times as many people"),
        (float("nan"), 1.0, 1.1, "unknown", "could not be measured"),
        (None, None, None, "unknown", "could not be measured"),
    ],
)
def test_a_gain_is_claimed_only_where_its_interval_lies_above_one(
    night: Night, ratio: float, low: float, high: float, verdict: str, said: str
) -> None:
    total = {"ratio": ratio, "low": low, "high": high, "basis": "model"}
    judged = replace(night, gains={**GAINS, "total": total})
    assert sentences.judge_gain(total) == verdict
    assert said in sentences.build_comparison(judged)
    assert said in _read(judged)


def test_the_basis_of_the_gains_is_told_apart_from_a_measurement() -> None:
    measured = {name: {**gain, "basis": "experiment"} for name, gain in GAINS.items()}
    assert "only an experiment with a control group can prove it" in sentences.build_basis(GAINS)
    assert "Basis: an experiment. Customers of the control arm" in sentences.build_basis(measured)
    moved = {**measured, "staffing": GAINS["staffing"], "total": GAINS["total"]}
    assert "the model for the seats" in sentences.build_basis(moved)
    assert sentences.build_basis({}) == "Basis: not stated."
    assert sentences.build_gain_remarks(GAINS) == ["Timing shows no gain of its own: its interval holds 1.0."]


def test_the_page_says_how_little_time_alone_explains(night: Night) -> None:
    assert night.fitted is not None
    said = sentences.build_timing_honesty(night.fitted.rivals)
    assert "AUC of 0.531" in said[0]
    assert "the best AUC is 0.641" in said[1]
    blind = sentences.build_timing_honesty(night.fitted.rivals.assign(auc=0.505))
    assert "No model tells much here: the best AUC is 0.505" in blind[1]
    telling = night.fitted.rivals.assign(auc=lambda rows: rows["auc"] + 0.1)
    assert not any("Time alone" in sentence for sentence in sentences.build_timing_honesty(telling))


def test_the_certificate_of_a_plan_is_told_in_its_own_weights_not_in_contacts(night: Night) -> None:
    plan = {**night.plan, "expected_contacts": 594.2, "upper_bound": 437.6, "gap": 0.003}
    text = _read(replace(night, plan=plan))
    assert "all but 0.30 % of what any plan could be" in text
    assert "438" not in text.partition("The week's plan")[2].partition("Planned dials")[0]


def test_the_winner_is_the_rival_of_smallest_log_loss_and_its_lead_is_told(night: Night) -> None:
    assert night.fitted is not None
    rivals = night.fitted.rivals
    assert _plain(sentences.build_winner(rivals, "forward")) == (
        "On the forward fold LightGBM predicts best (log loss 0.3512, AUC 0.641), 1.76 % ahead of logistic regression "
        "and 3.81 % ahead of the overall rate."
    )
    assert _plain(sentences.build_winner(rivals, "forward", night.fitted.leads)) == (
        "On the forward fold LightGBM predicts best (log loss 0.3512, AUC 0.641), 1.76 % ahead of logistic regression "
        "(90 % interval 1.20 % to 2.32 %) and 3.81 % ahead of the overall rate (90 % interval 3.26 % to 4.35 %)."
    )
    assert "interval" not in sentences.build_winner(rivals, "unseen customers", night.fitted.leads)
    assert "overall rate predicts best" in sentences.build_winner(rivals.assign(log_loss=rivals["auc"]), "forward")
    assert "nothing could be judged" in sentences.build_winner(rivals.assign(log_loss=np.nan), "forward")


def test_a_lead_whose_interval_holds_zero_is_called_noise_whoever_leads(night: Night) -> None:
    assert night.fitted is not None
    forward = night.fitted.rivals["fold"] == "forward"
    own = forward & (night.fitted.rivals["rival"] == "LightGBM")
    behind = night.fitted.rivals.assign(log_loss=night.fitted.rivals["log_loss"].mask(own, 0.3580))
    leads = night.fitted.leads.assign(saved=-0.0005, low=-0.0015, high=0.0005)
    assert _plain(sentences.build_winner(behind, "forward", leads)).startswith(
        "On the forward fold logistic regression predicts best (log loss 0.3575, AUC 0.602), 0.14 % ahead of LightGBM "
        "(90 % interval -0.14 % to 0.42 %, no more than noise)"
    )


def test_the_gate_is_told_with_who_made_the_plan(night: Night) -> None:
    passed = replace(night, verdict="passed: log loss 0.0040 nats a dial better than the overall rate")
    assert "The gate: passed: log loss 0.0040" in _read(passed)
    assert "version 3, fitted tonight" in _read(passed)
    refused = _read(replace(passed, challenger="4", verdict="the past has changed since version 3"))
    assert "Tonight's model, version 4, did not become champion: the past has changed since version 3." in refused
    assert "The champion, version 3, made this plan." in refused
    assert "version 3, fitted on an earlier night" in refused
    assert "Models side by side" in refused
    assert "LightGBM predicts best" in refused


def test_features_of_the_slot_are_summed_into_one_share(night: Night) -> None:
    assert night.fitted is not None
    assert "bring 13.0 %" in _plain(sentences.build_time_share(night.fitted.importance))


def test_a_night_without_a_fit_names_the_champion_that_was_used(night: Night) -> None:
    text = _read(replace(night, fitted=None))
    assert "No model was fitted tonight: the champion of an earlier night, contact version 3" in text
    assert "log loss" not in text


def test_an_empty_list_and_no_exclusions_still_make_a_page(night: Night) -> None:
    text = _read(replace(night, call_list=night.call_list.head(0), excluded=night.excluded.head(0), gains={}, plan={}))
    assert "No dial is planned" in text
    assert "Nobody: every listed customer is in the list." in text
    assert "No gain was measured tonight." in text


def test_a_source_without_age_gender_or_region_says_so(night: Night) -> None:
    nothing = pd.Series([None] * len(night.tables.customers), dtype="str")
    bare = night.tables.customers.assign(age=np.float32("nan"), gender=nothing, region=nothing)
    text = _read(replace(night, tables=replace(night.tables, customers=bare)))
    assert "The source has no age, gender, region or other text attribute" in text
    assert "hour and age" not in text


def test_planned_cells_add_up_to_the_dials_of_the_list(night: Night) -> None:
    maps = build_plan_maps(night)
    assert maps is not None
    counted = maps[0]
    inner = [cell for name, cells in counted.rows if name != "all" for cell in cells[:-1] if cell is not None]
    assert sum(int(cell.text) for cell in inner) == len(night.call_list)
    corner = counted.rows[-1][1][-1]
    assert corner is not None
    assert corner.text == f"{len(night.call_list):,}"
    assert counted.columns[0] == "Mon 2 firm"
    assert "firm" not in counted.columns[1]


def test_segments_show_their_most_dialled_levels_inside_one_track(night: Night) -> None:
    gender, region = build_segments(night)
    assert [segment.column for segment in (gender, region)] == ["gender", "region"]
    assert region.levels[0].name == "東京都"
    assert sum(level.attempts for level in gender.levels) == len(night.tables.call_attempts)
    assert (gender.low, gender.high) == (region.low, region.high)
    for level in (*gender.levels, *region.levels):
        assert 0 <= level.left <= level.dot <= level.left + level.width <= 100.1


def test_levels_beyond_the_first_ten_are_counted_and_not_drawn(night: Night) -> None:
    many = (night.tables.customers.index % 14).astype("str")
    customers = night.tables.customers.assign(region=many)
    region = build_segments(replace(night, tables=replace(night.tables, customers=customers)))[1]
    assert (len(region.levels), region.n_more) == (10, 4)


def _build_advice(night: Night) -> StaffingAdvice:
    tuesday = AS_OF.date() + timedelta(days=1)
    shifts = pd.DataFrame(
        {
            "date": [tuesday],
            "shift": ["<late>"],
            "agents": [30],
            "breaks": ["18:00×18; 19:00×12"],
            "training": ["17:00×9"],
            "one_to_ones": [""],
        }
    )
    starts = night.staffing["slot_start"].iloc[[15, 16, 17]]
    away = pd.DataFrame({"slot_start": starts, "breaks": [0.0, 18, 12], "training": [9.0, 0, 0], "one_to_ones": 0.0})
    price = np.linspace(0.01, 0.08, len(night.staffing))
    before, after = Worth(500.0, 500.0, price), Worth(520.0, 520.0, price)
    short = pd.DataFrame({"slot_start": starts, "agents_short": 1.0, "why": "too few agents"})
    places = night.staffing["dials_recommended"].to_numpy()
    roster = Roster(shifts, away, places, after, 521.0, short, {}, 240.0, 250.0)
    return StaffingAdvice(places, before, after, 4_000, roster, True, short, ())


def test_the_map_of_seat_prices_shows_whom_to_move_and_shifts_are_told_and_drawn(night: Night) -> None:
    page = build_report(replace(night, advice=_build_advice(night)))
    said = _plain(_Outline(page).text)
    assert "is expected to bring 594 keyman contacts, with the seats recommended 618 (+4.0 %)." in said
    assert "a roster of 30 shifts on 1 day, 240 paid agent-hours of at most 250." in said
    assert "can be worth more by over 0.19 %" in said
    assert "&lt;late&gt;" in page
    assert "18:00×18; 19:00×12" in said
    assert page.count('class="away-training"') == 2 * 1 + 1  # both cuts of the figure, and its key
    assert "seat price 0.12, −0.6 agents" in _plain(page)
    assert "Shifts, and when" not in build_report(night)
