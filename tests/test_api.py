"""The interface for dialers: every row once, nobody twice, outcomes safe to post again, and no way around its types."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import FinishedNight
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from app.doors import read_doors
from app.nights import Nights
from app.site import build_site
from configs.settings import Settings
from pipelines.outcomes import count_outcomes, read_outcomes
from pipelines.replan import replan

ZONE = "Asia/Tokyo"
HALF_PAST_TEN = pd.Timestamp("2026-11-02 10:30", tz=ZONE)
TEN = "2026-11-02T10:00:00+09:00"


def open_site(var: Path, plan: Path, now: pd.Timestamp = HALF_PAST_TEN) -> TestClient:
    """The whole site as a program on this machine sees it, at a moment of the run date."""
    doors = replace(read_doors(var, Settings().app, "127.0.0.1"), clock=now.timestamp)
    site = build_site(Nights(var, plan), Settings(), doors)
    return TestClient(site, base_url="http://127.0.0.1", client=("127.0.0.1", 50_000))


@pytest.fixture(scope="module")
def api(small_night: FinishedNight, tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """For looking only."""
    return open_site(tmp_path_factory.mktemp("looking"), small_night.out)


@pytest.fixture
def var(tmp_path: Path) -> Path:
    return tmp_path / "var"


@pytest.fixture
def desk(small_night: FinishedNight, var: Path) -> TestClient:
    """With an empty store of outcomes."""
    return open_site(var, small_night.out)


@pytest.fixture(scope="module")
def listed(small_night: FinishedNight) -> pd.DataFrame:
    return pd.read_parquet(small_night.out / "call_list.parquet").astype({"customer_id": "str"})


def ask(client: TestClient, path: str, status: int = 200, **query: Any) -> dict[str, Any]:
    answer = client.get(f"/api/v1{path}", params=query)
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told


def turn_pages(client: TestClient, path: str, **query: Any) -> Iterator[dict[str, Any]]:
    cursor: dict[str, Any] = {}
    while True:
        page = ask(client, path, **query, **cursor)
        yield from page["rows"]
        if page["next_cursor"] is None:
            return
        cursor = {"cursor": page["next_cursor"]}


def dial(customer_id: str, outcome: str = "no_answer", attempt_id: str = "P1", at: str = "10:05", **more: Any) -> dict:
    made = {"attempt_id": attempt_id, "customer_id": customer_id, "outcome": outcome}
    return made | {"attempted_at": f"2026-11-02T{at}:00+09:00"} | more


def post(client: TestClient, *attempts: dict[str, Any], status: int = 200) -> dict[str, Any]:
    answer = client.post("/api/v1/outcomes", json={"attempts": attempts})
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told


# --- looking


def test_the_pages_hold_every_row_of_the_list_once_in_its_order(api: TestClient, listed: pd.DataFrame) -> None:
    rows = pd.DataFrame(turn_pages(api, "/call-list", limit=97))
    assert len(rows) > 97  # more than a page, and the last one is not full
    assert rows["customer_id"].tolist() == listed["customer_id"].tolist()
    assert (pd.to_datetime(rows["slot_start"], utc=True) == pd.DatetimeIndex(listed["slot_start"])).all()
    assert rows["rank"].tolist() == listed["rank"].tolist()
    assert rows["p_keyman"].to_numpy() == pytest.approx(listed["p_keyman"].to_numpy(), abs=1e-6)
    assert rows["reason"].isna().tolist() == listed["reason"].isna().tolist()


def test_a_filter_in_pages_gives_what_the_filter_says(api: TestClient, listed: pd.DataFrame) -> None:
    rows = list(turn_pages(api, "/call-list", slot_start=TEN, p_from=0.1, limit=3))
    slot = listed[listed["slot_start"] == pd.Timestamp(TEN)]
    assert [row["customer_id"] for row in rows] == slot.loc[slot["p_keyman"] >= 0.1, "customer_id"].tolist()
    assert {row["slot_start"] for row in rows} == {TEN}
    assert list(turn_pages(api, "/call-list", slot_start=TEN.replace("+", " "), p_from=0.1)) == rows
    assert list(turn_pages(api, "/call-list", slot_start="2026-11-02T10:00", p_from=0.1)) == rows


def test_a_cursor_of_another_night_is_told_and_a_forged_one_refused(
    api: TestClient, small_night: FinishedNight, tmp_path: Path
) -> None:
    cursor = ask(api, "/call-list", limit=1)["next_cursor"]
    other = tmp_path / "other"
    other.mkdir()
    for file in small_night.out.iterdir():
        (other / file.name).symlink_to(file)
    (other / "run.json").unlink()
    record = json.loads((small_night.out / "run.json").read_text())
    (other / "run.json").write_text(json.dumps(record | {"run_id": "20261103-other"}))
    told = ask(open_site(tmp_path / "var", other), "/call-list", 410, cursor=cursor)
    assert "20261103-other has taken its place" in told["error"]
    for forged in ("", "x", "WzFd", "W10", "bnVsbA", cursor[:-4], "é", "[" * 1500):
        assert ask(api, "/call-list", 422, cursor=forged)["error"] == "cursor: is none of ours"


def test_the_excluded_come_in_pages_each_once(api: TestClient, small_night: FinishedNight) -> None:
    expected = pd.read_csv(small_night.out / "excluded.csv", encoding="utf-8-sig", dtype="str")
    rows = pd.DataFrame(turn_pages(api, "/excluded", limit=97))
    assert sorted(rows["customer_id"]) == sorted(expected["customer_id"])
    some = expected[expected["reason"] == expected["reason"].iloc[0]]
    found = turn_pages(api, "/excluded", reason=some["reason"].iloc[0], limit=5000)
    assert sorted(row["customer_id"] for row in found) == sorted(some["customer_id"])


def test_staffing_is_the_nights_own(api: TestClient, small_night: FinishedNight) -> None:
    expected = pd.read_csv(small_night.out / "staffing.csv", encoding="utf-8-sig")
    rows = pd.DataFrame(ask(api, "/staffing")["rows"])
    assert rows["slot_start"].tolist() == expected["slot_start"].tolist()
    assert rows["dials_given"].tolist() == expected["dials_given"].tolist()
    assert rows["hint"].tolist() == expected["hint"].tolist()


def test_a_customer_has_a_plan_or_a_reason(api: TestClient, listed: pd.DataFrame, small_night: FinishedNight) -> None:
    planned = listed["customer_id"].iloc[0]
    told = ask(api, f"/customers/{planned}")
    assert [row["rank"] for row in told["plan"]] == listed.loc[listed["customer_id"] == planned, "rank"].tolist()
    assert told["excluded_reason"] is None
    assert not told["is_finished"]
    left_out = pd.read_csv(small_night.out / "excluded.csv", encoding="utf-8-sig", dtype="str").iloc[0]
    told = ask(api, f"/customers/{left_out['customer_id']}")
    assert (told["plan"], told["excluded_reason"]) == ([], left_out["reason"])
    for nobody in ("nobody", "C*", "a/b", "%00", "'; DROP TABLE call_list; --"):
        assert "knows no such customer" in ask(api, f"/customers/{nobody}", 404)["error"]


def test_the_chances_of_a_customer_are_those_of_the_list(api: TestClient, listed: pd.DataFrame) -> None:
    first = listed[listed["attempt_number"] == 1].iloc[0]
    chances = {row["slot_start"]: row["p_keyman"] for row in ask(api, f"/customers/{first['customer_id']}")["chances"]}
    assert chances[first["slot_start"].isoformat()] == pytest.approx(first["p_keyman"], abs=1e-3)


def test_health_needs_nobody_and_says_how_old_the_night_is(
    api: TestClient, listed: pd.DataFrame, small_night: FinishedNight, tmp_path: Path
) -> None:
    written = pd.Timestamp((small_night.out / "run.json").stat().st_mtime, unit="s", tz="UTC")
    later = open_site(tmp_path, small_night.out, written + pd.Timedelta(hours=6))
    told = ask(later, "/health")
    assert told["dials"] == len(listed)
    assert told["run_age_seconds"] == pytest.approx(6 * 3600, abs=1)
    stranger = TestClient(later.app, base_url="http://127.0.0.1", client=("192.0.2.1", 1))
    assert stranger.get("/api/v1/health").status_code == 200
    refused = stranger.get("/api/v1/call-list")
    assert refused.status_code == 401
    assert set(refused.json()) >= {"error", "remedy"}


def test_without_a_night_every_answer_says_what_to_do(tmp_path: Path) -> None:
    empty = open_site(tmp_path, None)  # type: ignore[arg-type]
    for path in ("/health", "/call-list", "/call-list/next", "/excluded", "/staffing", "/customers/C1"):
        told = ask(empty, path, 503)
        assert told["remedy"].startswith("kakedoki nightly")
    assert empty.get("/api/v1/metrics").status_code == 200


def test_metrics_count_by_pattern_and_never_name_a_customer(api: TestClient, listed: pd.DataFrame) -> None:
    customer = listed["customer_id"].iloc[0]
    api.get(f"/api/v1/customers/{customer}")
    api.get("/api/v1/nothing-of-the-kind")
    text = api.get("/api/v1/metrics").text
    counted = 'kakedoki_requests_total{method="GET",route="/api/v1/customers/{customer_id:path}",status="200"}'
    assert counted in text
    assert re.search(r'route="unknown",status="404"\} \d', text)
    assert f"kakedoki_list_rows {float(len(listed))}" in text
    assert customer not in text
    assert "nothing-of-the-kind" not in text


# --- whom to dial next


def test_next_follows_the_rank_and_leaves_out_whoever_is_finished(desk: TestClient, listed: pd.DataFrame) -> None:
    slot = listed[listed["slot_start"] == pd.Timestamp(TEN)]["customer_id"].tolist()
    told = ask(desk, "/call-list/next", count=4)
    assert (told["slot_start"], told["slot_end"], told["left"]) == (TEN, "2026-11-02T11:00:00+09:00", len(slot))
    assert [row["customer_id"] for row in told["rows"]] == slot[:4]
    assert ask(desk, "/call-list/next", count=4) == told  # nothing was reserved
    post(
        desk,
        dial(slot[0], "no_answer", "P0"),
        dial(slot[1], "keyman_contact", "P1", at="08:50"),
        dial(slot[2], "third_party", "P2", at="08:00", refused=True),
        dial(slot[3], "busy", "P3", at="09:50"),
    )
    told = ask(desk, "/call-list/next", count=2)
    assert [row["customer_id"] for row in told["rows"]] == slot[3:5]  # a busy line of the hour before may be tried
    assert told["left"] == len(slot) - 3
    assert ask(desk, f"/customers/{slot[1]}")["is_finished"]
    assert not ask(desk, f"/customers/{slot[0]}")["is_finished"]


OUTCOMES = st.sampled_from(["no_answer", "busy", "keyman_contact", "wrong_number", "voicemail"])


def test_a_day_dialled_by_next_reaches_the_end_and_never_a_finished_customer(
    small_night: FinishedNight, listed: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> None:
    slots = [TEN, "2026-11-02T11:00:00+09:00"]
    expected = {start: set(listed[listed["slot_start"] == pd.Timestamp(start)]["customer_id"]) for start in slots}

    @given(st.data())
    def live(draws: st.DataObject) -> None:
        desk = open_site(tmp_path_factory.mktemp("day"), small_night.out)
        ended: set[str] = set()
        for hour, start in enumerate(slots):
            dialled: set[str] = set()
            while rows := ask(desk, "/call-list/next", slot_start=start, count=40)["rows"]:
                ids = [row["customer_id"] for row in rows]
                assert not (ended | dialled) & set(ids)
                outcomes = draws.draw(st.lists(OUTCOMES, min_size=len(ids), max_size=len(ids)))
                post(desk, *(dial(c, o, f"{hour}-{c}", f"{10 + hour}:10") for c, o in zip(ids, outcomes, strict=True)))
                dialled |= set(ids)
                ended |= {c for c, o in zip(ids, outcomes, strict=True) if o in ("keyman_contact", "wrong_number")}
            assert dialled == expected[start] - ended | (dialled & ended)

    settings(max_examples=2, deadline=None, derandomize=True, database=None)(live)()


def test_between_slots_nobody_is_given_and_a_wrong_start_is_told(small_night: FinishedNight, tmp_path: Path) -> None:
    night = open_site(tmp_path, small_night.out, pd.Timestamp("2026-11-02 23:30", tz=ZONE))
    told = ask(night, "/call-list/next")
    assert (told["slot_start"], told["rows"], told["left"]) == (None, [], 0)
    assert (
        "no slot of the plan starts then" in ask(night, "/call-list/next", 404, slot_start="2026-11-02T10:07")["error"]
    )


# --- outcomes


def test_a_post_may_be_sent_again_and_changes_nothing_then(desk: TestClient, listed: pd.DataFrame, var: Path) -> None:
    ids = listed["customer_id"].iloc[:2]
    both = [dial(ids.iloc[0], attempt_id="P1", ring_seconds=20), dial(ids.iloc[1], attempt_id="P2", agent_id="A 7")]
    assert post(desk, *both) == {"accepted": 2, "new": 2, "known": 0}
    assert post(desk, *both) == {"accepted": 2, "new": 0, "known": 2}
    assert post(desk, dial(ids.iloc[0], ring_seconds=20) | {"attempted_at": "2026-11-02T01:05:00Z"})["known"] == 1
    told = post(desk, dial(ids.iloc[0], attempt_id="P3"), both[0] | {"outcome": "busy"}, status=409)
    assert [(row["row"], row["attempt_id"]) for row in told["rows"]] == [(1, "P1")]
    assert "P1" in told["error"]
    assert count_outcomes(var) == 2


@pytest.mark.parametrize(
    ("fault", "column"),
    [
        ({"outcome": "ANSWERED"}, "outcome"),
        ({"customer_id": "nobody"}, "customer_id"),
        ({"attempted_at": "yesterday"}, "attempted_at"),
        ({"attempted_at": 12}, "attempted_at"),
        ({"attempted_at": "1926-11-02T10:05:00"}, "attempted_at"),
        ({"talk_seconds": -1}, "talk_seconds"),
        ({"ring_seconds": 1e9}, "ring_seconds"),
        ({"attempt_id": ""}, "attempt_id"),
        ({"attempt_id": "a\u0000b"}, "attempt_id"),
        ({"refused": "perhaps"}, "refused"),
        ({"phone": "000"}, "phone"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_is_kept(
    fault: dict[str, Any], column: str, desk: TestClient, listed: pd.DataFrame, var: Path
) -> None:
    good = dial(listed["customer_id"].iloc[0], attempt_id="P0")
    told = post(desk, good, dial(listed["customer_id"].iloc[1]) | fault, status=422)
    assert [(row["row"], row["column"]) for row in told["rows"]] == [(1, column)]
    assert "nothing was kept" in told["error"]
    assert count_outcomes(var) == 0


def test_what_was_posted_can_be_read_in_pages_and_since(desk: TestClient, listed: pd.DataFrame, var: Path) -> None:
    post(desk, *(dial(c, attempt_id=f"P{i}") for i, c in enumerate(listed["customer_id"].unique()[:5])))
    rows = list(turn_pages(desk, "/outcomes", limit=2))
    assert [row["attempt_id"] for row in rows] == [f"P{i}" for i in range(5)]
    assert rows[0]["attempted_at"] == "2026-11-02T10:05:00+09:00"
    assert rows[0]["posted_at"] == "2026-11-02T10:30:00+09:00"
    assert list(turn_pages(desk, "/outcomes", since="2026-11-02T10:31")) == []
    assert len(read_outcomes(var)) == 5


def test_an_outcome_that_came_over_the_wire_is_obeyed_at_noon(
    desk: TestClient,
    listed: pd.DataFrame,
    small_night: FinishedNight,
    var: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAKEDOKI_HOME", str(var))
    noon = pd.Timestamp("2026-11-02 12:10", tz=ZONE)
    reached, missed = listed.loc[listed["is_firm"] & (listed["slot_start"] > noon), "customer_id"].unique()[:2]
    post(desk, dial(reached, "keyman_contact", "P1"), dial(missed, "no_answer", "P2", at="10:10"))
    done = replan(str(small_night.source), small_night.out, tmp_path / "out", noon.to_pydatetime())
    assert not {reached, missed} & set(done.call_list["customer_id"].astype("str"))
    why = done.excluded.set_index("customer_id")["reason"]
    assert (why[reached], why[missed]) == ("contacted", "dialled_today")
    assert done.record["inputs"]["counts"]["call_attempts_posted"] == 2
    assert any("posted to the interface" in note for note in done.record["notes"])


# --- what must not get through


@pytest.mark.parametrize(
    "query",
    [
        {"region": "' OR 1=1 --"},
        {"arm": "plan'; DROP TABLE call_list; --"},
        {"reason": "%' UNION SELECT customer_id FROM excluded --"},
        {"customer": "x'); COPY call_list TO '/nowhere'; --"},
    ],
)
def test_what_people_type_is_a_value_and_never_sql(query: dict[str, str], api: TestClient) -> None:
    assert ask(api, "/call-list", **query)["rows"] == []
    assert len(ask(api, "/call-list", limit=1)["rows"]) == 1


@pytest.mark.parametrize(
    "query",
    [
        {"slot_start": "now'"},
        {"weekday": "1; SELECT 1"},
        {"limit": "0"},
        {"limit": "100000"},
        {"order": "rank; --"},
        {"p_from": "nan"},
        {"slot_from": "9999-12-31T23:59:59-14:00"},
    ],
)
def test_what_cannot_be_read_is_refused_by_name(query: dict[str, str], api: TestClient) -> None:
    told = ask(api, "/call-list", 422, **query)
    assert next(iter(query)) in told["error"]
    assert told["remedy"]


def test_other_addresses_and_methods_are_refused_in_the_same_words(api: TestClient) -> None:
    assert set(ask(api, "/nothing", 404)) == {"error", "remedy", "rows"}
    answer = api.put("/api/v1/staffing", json={})
    assert answer.status_code == 405
    assert set(answer.json()) == {"error", "remedy", "rows"}


# --- what it says of itself


def test_every_route_and_model_is_described_with_an_example(api: TestClient) -> None:
    document = ask(api, "/openapi.json")
    for path, routes in document["paths"].items():
        for route in routes.values():
            assert route["summary"], path
            assert len(route["description"]) > 20, path
    ours = {name: model for name, model in document["components"]["schemas"].items() if model["type"] == "object"}
    assert [name for name, model in ours.items() if "example" not in model and "Validation" not in name] == []


def test_the_page_about_it_needs_nothing_from_elsewhere(api: TestClient) -> None:
    document = ask(api, "/openapi.json")
    for language in ("en", "ja"):
        page = api.get("/api/v1/docs", params={"lang": language}).text
        assert [path for path in document["paths"] if f"/api/v1{path}" not in page] == []
        assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
