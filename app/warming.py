"""What pages keep of a night, made before the first reader asks: at the start, and when another night comes."""

import logging
import threading
from collections.abc import Callable
from functools import partial

from app.dials import Address, count_by_slot, find_dials, list_choices
from app.heat_cells import chances_of_night, dials_of_night
from app.hourly import hours_of_night
from app.nights import Nights, NoNightError, OpenNight
from app.rendering import LANGUAGES, build_environment
from configs.errors import KakedokiError

EVERY_SECONDS = 5.0


def warm_up(night: OpenNight, is_stopped: Callable[[], bool] = lambda: False) -> None:
    """Make what is made once of a night and asked many times: the list's first page, sums of chances and dials.

    ``is_stopped`` is asked before each of them, so that a server that must go need not wait for all.
    """
    steps: list[Callable[[], object]] = [
        _read_templates,
        *(partial(find_dials, night, Address({}), language) for language in LANGUAGES),
        partial(count_by_slot, night, Address({})),
        partial(list_choices, night),
        *(partial(make, night) for make in (dials_of_night, chances_of_night, hours_of_night)),
    ]
    for step in steps:
        if is_stopped():
            return
        step()


def _read_templates() -> None:
    environment = build_environment()
    for name in environment.list_templates():
        environment.get_template(name)


def keep_warm(nights: Nights, stopped: threading.Event, every_seconds: float = EVERY_SECONDS) -> None:
    """Warm up every night that comes, until ``stopped``; of what cannot be read the page tells who asks for it."""
    warm: object = None
    while not stopped.is_set():
        try:
            night = nights.current()
            if night.stamp != warm:
                warm = night.stamp
                warm_up(night, stopped.is_set)
        except NoNightError:
            pass  # there will be one
        except (KakedokiError, OSError) as error:
            logging.getLogger("kakedoki").warning("the page was not made ready: %s", error)
        stopped.wait(every_seconds)
