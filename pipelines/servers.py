"""The two servers on loopback, Prefect and MLflow: their environment, whether they are up, and how to start them.

``python -m pipelines.servers prefect`` and ``... mlflow`` are what ``make prefect`` and ``make mlflow`` run.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import ProxyHandler, build_opener

from configs.errors import SourceError
from pipelines.runs import find_var

PREFECT_URL = "http://127.0.0.1:4200"
MLFLOW_URL = "http://127.0.0.1:5000"
HEALTH = {"prefect": f"{PREFECT_URL}/api/health", "mlflow": f"{MLFLOW_URL}/health"}


def is_up(server: str, wait_seconds: float = 0.5) -> bool:
    """Say whether a server answers on loopback; asks no proxy.

    Parameters
    ----------
    server
        "prefect" or "mlflow".

    Examples
    --------
    >>> is_up("prefect") in (True, False)
    True
    """
    direct = build_opener(ProxyHandler({}))
    try:
        with direct.open(HEALTH[server], timeout=wait_seconds) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def set_environment(var: Path, environment: MutableMapping[str, str] | None = None) -> None:
    """Set what Prefect, MLflow and OpenMP read when they are imported; what the user has set already stays.

    Everything stays in the project (``var/prefect``) and at home (no analytics, no telemetry). A Prefect server on
    loopback is used when it is up; otherwise Prefect starts one of its own for the length of the command, which takes
    a minute and a half to fail when ``PREFECT_HOME``'s parent is missing: hence the folder is made here.

    Parameters
    ----------
    environment
        Default: this process's environment.

    Examples
    --------
    >>> import tempfile
    >>> mine = {"PREFECT_HOME": "/elsewhere", "PREFECT_API_URL": "http://prefect/api"}
    >>> set_environment(Path(tempfile.mkdtemp()), mine)
    >>> mine["PREFECT_HOME"], mine["DO_NOT_TRACK"]
    ('/elsewhere', 'true')
    """
    target = os.environ if environment is None else environment
    defaults = {
        "PREFECT_HOME": str(var / "prefect"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the screen is ours: one line per stage
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # on cores that others use too, threads that spin while they wait cost LightGBM seven times (measured)
        "OMP_WAIT_POLICY": "passive",
    }
    for name, setting in defaults.items():
        target.setdefault(name, setting)
    (var / "prefect").mkdir(parents=True, exist_ok=True)
    if "PREFECT_API_URL" not in target and is_up("prefect"):
        target["PREFECT_API_URL"] = f"{PREFECT_URL}/api"


def find_tracking_uri(wanted: str | None, var: Path) -> tuple[str, bool]:
    """Return MLflow's address, and whether its files are ours to place: the setting, the local server, or SQLite.

    >>> find_tracking_uri("http://mlflow.centre:5000", Path("/v"))
    ('http://mlflow.centre:5000', False)
    """
    if wanted is not None:
        return wanted, wanted.startswith("sqlite:")
    return (MLFLOW_URL if is_up("mlflow") else f"sqlite:///{var}/mlflow/mlflow.db"), True


def find_pages(tracking_uri: str | None, is_near: bool) -> dict[str, str]:
    """Addresses of MLflow's and Prefect's pages that a reader can open: as configured, else on loopback when up.

    Parameters
    ----------
    tracking_uri
        Of the settings; a user and a password in it are not told.
    is_near
        Whether the reader sits at this machine, so that loopback addresses are of use.

    Examples
    --------
    >>> find_pages("https://me:secret@mlflow.centre:5000/", is_near=False)["mlflow"]
    'https://mlflow.centre:5000'
    """
    prefect = os.environ.get("PREFECT_API_URL", "").removesuffix("/api")
    configured = {"mlflow": tracking_uri or "", "prefect": "" if prefect == PREFECT_URL else prefect}
    found = {server: _drop_user(uri) for server, uri in configured.items() if uri.startswith(("http://", "https://"))}
    for server, uri in (("mlflow", MLFLOW_URL), ("prefect", PREFECT_URL)):
        if is_near and server not in found and is_up(server):
            found[server] = uri
    return found


def _drop_user(uri: str) -> str:
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def build_command(server: str, var: Path) -> list[str]:
    """Return the command line that starts a server on loopback, with its files under ``var/``.

    >>> build_command("mlflow", Path("/v"))[-5:-1]
    ['--backend-store-uri', 'sqlite:////v/mlflow/mlflow.db', '--no-serve-artifacts', '--default-artifact-root']
    """
    if server == "prefect":
        return [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", "4200"]
    # Artifacts are written straight into the folder, so that a night without the server reads the same store.
    store = ["--backend-store-uri", f"sqlite:///{var}/mlflow/mlflow.db", "--no-serve-artifacts"]
    where = ["--default-artifact-root", (var / "mlflow" / "artifacts").as_uri()]
    return [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "5000", *store, *where]


@contextmanager
def run_server(server: str, var: Path, patience_seconds: float = 90.0) -> Iterator[None]:
    """Have a server up while the body runs: the one that is up already, else one of our own, ended afterwards.

    Raises
    ------
    SourceError
        It does not answer within ``patience_seconds``; its log is in ``var/logs/``.
    """
    if is_up(server):
        yield
        return
    log_file = var / "logs" / f"{server}-server.log"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as log:
        child = subprocess.Popen(
            build_command(server, var), env=_server_environment(), stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_until_up(server, child, patience_seconds, log_file)
        yield
    finally:
        child.terminate()
        child.wait(timeout=30)


def _wait_until_up(server: str, child: "subprocess.Popen[bytes]", patience_seconds: float, log_file: Path) -> None:
    deadline = time.monotonic() + patience_seconds
    while not is_up(server):
        if child.poll() is not None or time.monotonic() > deadline:
            raise SourceError(f"the {server} server does not start: see {log_file}")
        time.sleep(0.2)


def _server_environment() -> dict[str, str]:
    return {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def main() -> None:
    """Start the server that the command line names, in the foreground, until Ctrl-C."""
    server = sys.argv[1]
    var = find_var()
    (var / "mlflow" / "artifacts").mkdir(parents=True, exist_ok=True)
    set_environment(var)
    os.execve(sys.executable, build_command(server, var), _server_environment())


if __name__ == "__main__":
    main()
