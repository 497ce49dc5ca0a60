"""What pages keep of a night is made before anybody asks, and again when another night comes."""

import threading
from pathlib import Path

from conftest import FinishedNight

from app.heat_cells import Segment, average_chances, chances_of_night, count_dials
from app.hourly import hours_of_night
from app.nights import Nights
from app.warming import keep_warm, warm_up
from pipelines.exports.folders import point_latest


def test_a_warm_night_answers_without_being_asked_anew(small_night: FinishedNight) -> None:
    night = Nights(small_night.var, small_night.out).current()
    warm_up(night)
    everybody, sums = Segment(), chances_of_night(night)
    slots = night.ask("SELECT count(*) AS n FROM attempts")["n"].iloc[0]
    assert int(count_dials(night, "weekday", everybody).query("row == 'all' and column == 'all'")["n"].iloc[0]) == slots
    assert len(average_chances(night, "weekday", everybody, sums)) > 0
    night.connection.close()
    assert int(hours_of_night(night)["attempts"].sum()) == slots
    assert len(count_dials(night, "week_of_month", Segment(gender="female"))) > 0


def test_the_server_waits_for_the_first_night_and_opens_it_unasked(small_night: FinishedNight, tmp_path: Path) -> None:
    nights, stopped = Nights(tmp_path), threading.Event()
    opened: list[str] = []

    class Watched(Nights):
        def current(self):  # type: ignore[no-untyped-def]
            night = nights.current()
            opened.append(night.run_id)
            stopped.set()
            return night

    keeper = threading.Thread(target=keep_warm, args=(Watched(tmp_path), stopped, 0.01))
    keeper.start()
    assert opened == []
    point_latest(tmp_path / "runs", small_night.out)
    keeper.join(60)
    assert not keeper.is_alive()
    assert opened == [nights.current().run_id]
