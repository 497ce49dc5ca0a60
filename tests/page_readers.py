"""Readers of the page: a test client that comes in by the open door of this machine."""

import re
from pathlib import Path

import pandas as pd
from conftest import FinishedNight
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.doors import Doors
from app.nights import Nights
from app.site import build_site
from configs.settings import Settings


def build_guarded_site(night: FinishedNight, folder: Path, *, is_open: bool = True, var: Path | None = None) -> FastAPI:
    """The whole site on a night; what the doors keep lies in ``folder``, and what runs is seen in ``var``."""
    doors = Doors(
        folder / "users.json", folder / "ended.json", folder / "exports.jsonl", "k" * 43, open_on_loopback=is_open
    )
    return build_site(Nights(var or night.var, night.out), Settings(), doors)


def build_reader(site: FastAPI, language: str = "en") -> TestClient:
    headers = {"Accept-Language": language, "Accept": "text/html"}
    return TestClient(site, base_url="http://localhost", headers=headers, client=("127.0.0.1", 50_000))


def read_call_list(night: FinishedNight) -> pd.DataFrame:
    """The list with what is known of its customers, from the files of the run and of the source."""
    people = pd.read_csv(night.source / "customers.csv", dtype={"customer_id": "str"})
    columns = ["customer_id", "age", "gender", "region"]
    return pd.read_parquet(night.out / "call_list.parquet").merge(people[columns], on="customer_id", how="left")


def ids_on(page: str) -> list[str]:
    """Customers of the list on a page, in their order."""
    return re.findall(r'<th scope="row" class="nowrap"><a href="/customers/([^"]+)">', page)


def n_found(page: str) -> int:
    """Rows that a page says it has found; none when it says so."""
    found = re.search(r'id="found" role="status"><strong>([\d,]+)</strong>', page)
    return int(found[1].replace(",", "")) if found else 0
