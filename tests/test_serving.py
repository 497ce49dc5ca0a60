"""``kakedoki serve``: it says where it is, refuses what it must, and stops in peace."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from conftest import FinishedNight

from app.serving import listen, serve_site
from configs.errors import UsageError
from configs.settings import Settings


def test_a_real_server_says_where_it_is_answers_and_stops_when_told(small_night: FinishedNight, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app.commands", "serve", "--port", "0", "--plan", str(small_night.out)]
    environment = os.environ | {"KAKEDOKI_HOME": str(tmp_path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stderr is not None
            told = server.stderr.readline()
            address = re.search(r"shows run (\S+): (http://127\.0\.0\.1:\d+/) ", told)
            assert address is not None, told
            answer = httpx.get(f"{address[2]}api/v1/health", timeout=60)
            assert (answer.status_code, answer.json()["run_id"]) == (200, address[1])
            server.send_signal(signal.SIGTERM)
            rest = server.stderr.read()
            assert server.wait(60) == 0
        finally:
            server.kill()
    assert rest == "stopped\n"
    assert not any(address[1] in log.read_text() for log in (tmp_path / "logs").iterdir())


def test_a_taken_port_is_told_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"127.0.0.1:{port}/: Address already in use: stop it, or name another"):
            listen("127.0.0.1", port)
    with pytest.raises(UsageError, match="no address of this machine"):
        listen("no-such-host.invalid", 0)


def test_others_are_not_let_in_before_there_is_a_user(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="kakedoki user add"):
        serve_site(tmp_path, Settings(), "0.0.0.0", 0, None, print)


def test_a_folder_that_is_no_run_is_refused_before_anything_listens(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(UsageError, match=f"--plan {tmp_path}"):
        serve_site(tmp_path, Settings(), "127.0.0.1", 0, tmp_path, told.append)
    assert told == []
