"""What surrounds a run: order, lock, exit codes, log, servers, stages."""

import logging
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

import pytest
from httpx import ConnectError
from prefect import flow

from configs import errors
from configs.errors import KakedokiError, LockedError, SourceError, UsageError
from pipelines import stages
from pipelines.failures import end_with_exit_code, mask_numbers
from pipelines.memory import read_peak_memory_mb, reset_peak_memory
from pipelines.order import build_order, hide_password, read_order, reveal_password
from pipelines.runs import find_var, hold_lock
from pipelines.servers import build_command, find_tracking_uri, is_up, set_environment
from pipelines.stages import record_stages, run_flow, stage

START = datetime(2026, 11, 2, 2, 0, tzinfo=UTC)
EVERY_FAILURE = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, KakedokiError)]


def end(command: str, var: Path, error: BaseException | None = None) -> int:
    """Exit code of a command that fails so."""
    try:
        with end_with_exit_code(command, var, START):
            if error is not None:
                raise error
    except SystemExit as leaving:
        return int(str(leaving.code))
    return 0


def log_of(var: Path) -> str:
    return "".join(file.read_text() for file in (var / "logs").glob("*.log"))


# --- the lock


def test_a_second_run_is_refused_and_told_who_runs_since_when(tmp_path: Path) -> None:
    with hold_lock(tmp_path), pytest.raises(LockedError) as refused, hold_lock(tmp_path):
        pass
    assert f"process {os.getpid()}, started {datetime.now().astimezone():%Y-%m-%d}" in str(refused.value)


def test_the_lock_is_free_after_a_run_and_after_a_failed_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), hold_lock(tmp_path):
        raise ValueError("broken")
    with hold_lock(tmp_path):
        pass


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from pipelines.runs import hold_lock\n"
            "with hold_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)",
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LockedError, match=f"process {holder.pid}"), hold_lock(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with hold_lock(tmp_path):
        pass


# --- exit codes


@pytest.mark.parametrize("kind", EVERY_FAILURE)
def test_every_failure_has_its_code_and_one_line(
    kind: type[KakedokiError], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end("nightly", tmp_path, kind("the place:\nwhat to do")) == kind.exit_code
    assert capsys.readouterr().err == "kakedoki: the place: what to do\n"


def test_the_codes_are_those_of_the_design() -> None:
    codes = {kind.__name__: kind.exit_code for kind in EVERY_FAILURE}
    assert codes == {
        "KakedokiError": 20,
        "UsageError": 2,
        "SourceError": 10,
        "ClusterError": 10,
        "ContractError": 11,
        "TooManyBadRowsError": 12,
        "NoModelError": 13,
        "NoCapacityError": 14,
        "LockedError": 15,
    }


def test_what_nobody_foresaw_ends_with_20_and_keeps_the_traceback_off_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end("nightly", tmp_path, ZeroDivisionError("division by zero")) == 20
    screen = capsys.readouterr().err
    assert screen.count("\n") == 1
    assert "20261102T020000-nightly.log" in screen
    assert "Traceback" not in screen
    assert "Traceback" in log_of(tmp_path)
    assert "ZeroDivisionError: division by zero" in log_of(tmp_path)


def test_ctrl_c_ends_with_130_and_one_calm_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert end("nightly", tmp_path, KeyboardInterrupt()) == 130
    assert "run it again" in capsys.readouterr().err


def test_being_told_to_end_unwinds_first(tmp_path: Path) -> None:
    swept = []

    def sleep_and_sweep() -> None:
        with end_with_exit_code("nightly", tmp_path, START):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
            finally:
                swept.append(True)

    with pytest.raises(SystemExit, match="143"):
        sleep_and_sweep()
    assert swept == [True]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_good_end_says_nothing_and_leaves_logging_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = list(logging.getLogger().handlers)
    assert end("nightly", tmp_path) == 0
    assert capsys.readouterr() == ("", "")
    assert logging.getLogger().handlers == before


# --- the log


def test_no_telephone_number_reaches_the_log(tmp_path: Path) -> None:
    with end_with_exit_code("check", tmp_path, START):
        logging.getLogger("kakedoki").info("row 7: '090-1234-5678' and 0312345678 and +819012345678")
    assert "•••" in log_of(tmp_path)
    assert [number for number in ("5678", "0312345678", "+81") if number in log_of(tmp_path)] == []


@pytest.mark.parametrize(
    "harmless",
    ["600,000 attempts", "2026-11-02", "20261102T020000", "kakedoki-0123abcd", "0.3256", "run 20261102-ab12"],
)
def test_dates_counts_and_names_stay_readable(harmless: str) -> None:
    assert mask_numbers(harmless) == harmless


# --- the order


def test_as_of_is_midnight_of_the_run_date_where_the_centre_is(tmp_path: Path) -> None:
    order = build_order("in", tmp_path / "out", date(2026, 11, 2), tmp_path)
    assert order.as_of.isoformat() == "2026-11-02T00:00:00+09:00"


@pytest.mark.parametrize("days", [0, 32])
def test_a_horizon_out_of_range_is_refused_with_the_options_name(days: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"--horizon-days {days}"):
        build_order("in", None, date(2026, 11, 2), tmp_path, horizon_days=days)


def test_the_options_lie_over_the_settings_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("horizon_days: 3\ntimezone: Europe/Copenhagen\n")
    files = [tmp_path / "mine.yaml"]
    assert build_order("in", None, date(2026, 11, 2), tmp_path, config_files=files).settings.horizon_days == 3
    order = build_order("in", None, date(2026, 11, 2), tmp_path, config_files=files, horizon_days=5)
    assert (order.settings.horizon_days, str(order.as_of.tz)) == (5, "Europe/Copenhagen")


def test_the_source_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for out in (tmp_path / "in", tmp_path):
        with pytest.raises(UsageError, match="holds the source"):
            build_order(str(tmp_path / "in"), out, date(2026, 11, 2), tmp_path)


def test_a_folder_of_something_else_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").touch()
    with pytest.raises(UsageError, match="photos"):
        build_order("in", tmp_path / "photos", date(2026, 11, 2), tmp_path)


def test_an_unknown_way_of_staffing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fixed, reshape"):
        build_order("in", None, date(2026, 11, 2), tmp_path, staffing_mode="elastic")


def test_a_run_date_is_needed_outside_a_scheduled_run() -> None:
    with pytest.raises(UsageError, match="--run-date is missing"):
        read_order("in", None, None)


def test_the_same_order_has_the_same_run_id_and_another_has_another(tmp_path: Path) -> None:
    first = build_order("in", None, date(2026, 11, 2), tmp_path)
    assert first.run_id == build_order("in", None, date(2026, 11, 2), tmp_path).run_id
    assert first.run_id != build_order("in", None, date(2026, 11, 2), tmp_path, horizon_days=3).run_id


def test_a_password_stays_out_of_the_order_and_reaches_the_reader(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KAKEDOKI_SOURCE", raising=False)
    address = "postgresql://kaori:s3cr@t/x@db.example/calls"
    order = build_order(address, None, date(2026, 11, 2), tmp_path)
    assert "s3cr" not in repr(order)
    assert reveal_password(order.source) == address
    monkeypatch.delenv("KAKEDOKI_SOURCE")


def test_the_environment_of_another_source_is_not_mistaken_for_this_one() -> None:
    kept = {"KAKEDOKI_SOURCE": "postgresql://kaori:secret@db/calls"}
    assert reveal_password(hide_password("postgresql://db/other", kept), kept) == "postgresql://db/other"


# --- the servers


def test_var_lies_where_the_environment_says_else_under_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KAKEDOKI_HOME", str(tmp_path / "home"))
    assert find_var() == tmp_path / "home"
    monkeypatch.delenv("KAKEDOKI_HOME")
    monkeypatch.chdir(tmp_path)
    assert find_var() == tmp_path / "var"
    monkeypatch.setenv("KAKEDOKI_HOME", "")
    assert find_var() == tmp_path / "var"


def test_prefect_and_mlflow_stay_at_home_and_in_the_project(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    set_environment(tmp_path, environment)
    assert environment["PREFECT_HOME"] == str(tmp_path / "prefect")
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == environment["DO_NOT_TRACK"] == "true"


def test_what_the_user_has_set_wins(tmp_path: Path) -> None:
    mine = {"PREFECT_HOME": "/mine", "PREFECT_API_URL": "http://prefect.centre/api", "DO_NOT_TRACK": "1"}
    environment = dict(mine)
    set_environment(tmp_path, environment)
    assert {name: environment[name] for name in mine} == mine


def test_the_tracking_uri_of_the_settings_wins(tmp_path: Path) -> None:
    assert find_tracking_uri("http://mlflow.centre:5000", tmp_path) == ("http://mlflow.centre:5000", False)
    assert find_tracking_uri("sqlite:////elsewhere/mlflow.db", tmp_path) == ("sqlite:////elsewhere/mlflow.db", True)


@pytest.mark.parametrize("server", ["prefect", "mlflow"])
def test_the_servers_listen_on_loopback_only(server: str, tmp_path: Path) -> None:
    command = build_command(server, tmp_path)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert "0.0.0.0" not in command


def test_a_server_that_is_not_there_is_soon_known_not_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("pipelines.servers").servers.HEALTH, "prefect", "http://127.0.0.1:9/health")
    began = time.monotonic()
    assert not is_up("prefect")
    assert time.monotonic() - began < 2


# --- the stages


def test_a_stage_is_timed_and_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    @stage("double", tell=lambda result: f"{result} in all")
    def double(number: int) -> int:
        time.sleep(0.05)
        return 2 * number

    with record_stages(1) as stages:
        assert double(21) == 42
    (entry,) = stages
    assert (entry["stage"], entry["seconds"] >= 0.05, entry["peak_mb"] > 1) == ("double", True, True)
    assert "42 in all" in capsys.readouterr().err


def test_a_stage_that_fails_is_not_told_as_done() -> None:
    @stage("break")
    def fail() -> None:
        raise SourceError("gone")

    with record_stages(1) as stages, pytest.raises(SourceError):
        fail()
    assert stages == []


def test_a_stage_outside_a_run_is_the_function_itself() -> None:
    @stage("add")
    def add(one: int, other: int) -> int:
        """Add."""
        return one + other

    assert add(1, other=2) == 3
    assert (add.__name__, add.__doc__) == ("add", "Add.")


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux measures a peak anew")
def test_the_peak_of_a_stage_is_its_own() -> None:
    reset_peak_memory()
    bytearray(300 * 2**20)[::4096] = bytes(300 * 2**8)
    high = read_peak_memory_mb()
    reset_peak_memory()
    assert read_peak_memory_mb() < high - 200


class _Client:
    def __enter__(self) -> "_Client":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def api_healthcheck(self) -> None:
        return


def test_a_night_goes_on_when_its_prefect_server_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lost(type(flow(lambda night: night))):
        def __call__(self, *_: object, **__: object) -> None:
            raise ConnectError("connection refused")

    monkeypatch.setattr("prefect.get_client", lambda **_: _Client())
    assert run_flow(Lost(lambda night: f"{night} planned", name="lost"), "tonight") == "tonight planned"


def test_progress_that_cannot_be_told_to_prefect_stops_no_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectError("connection refused")

    monkeypatch.setattr(stages, "_in_flow", lambda: True)
    monkeypatch.setattr("prefect.artifacts.create_progress_artifact", lambda *_, **__: UUID(int=1))
    monkeypatch.setattr("prefect.artifacts.update_progress_artifact", refuse)
    monkeypatch.setattr("prefect.get_run_logger", lambda: logging.getLogger("kakedoki"))
    with record_stages() as entries:
        stages._LOG.get().close("read", 1.0, 2.0, "done")
    assert [entry["stage"] for entry in entries] == ["read"]


def test_an_unknown_rule_pack_is_told_before_anything_is_read(tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text("rule_packs: [house, nope]\n", encoding="utf-8")
    with pytest.raises(UsageError, match="nope"):
        build_order("folder", None, date(2026, 11, 1), tmp_path, config_files=[config])
