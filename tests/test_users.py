"""Who may open the page: the users' file, passwords, tokens, the audit log and the commands that change them."""

import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from argon2.profiles import RFC_9106_LOW_MEMORY
from click.testing import Result
from typer.testing import CliRunner

from app.audit import find_audit_file, record
from app.commands import kakedoki
from app.keys import Doors
from app.private_files import change_private, read_or_make_secret, read_private
from app.users import (
    Users,
    add_user,
    change_password,
    check_password,
    issue_token,
    read_users,
    remove_user,
    revoke_tokens,
)
from configs.errors import UsageError

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
NOW = datetime(2026, 11, 2, 8, 30, tzinfo=UTC)
PASSWORD = "rain on a tin roof"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one analyst."""
    add_user(tmp_path / "users.json", "sato", "analyst", PASSWORD, NOW, CHEAP)
    return tmp_path / "users.json"


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o777


# --- passwords


def test_the_right_password_opens_and_no_other(file: Path) -> None:
    users = read_users(file)
    assert check_password(users, "sato", PASSWORD, CHEAP) == users.users["sato"]
    for name, password in (("sato", PASSWORD + "!"), ("sato", ""), ("suzuki", PASSWORD), ("", PASSWORD)):
        assert check_password(users, name, password, CHEAP) is None


def test_passwords_are_kept_as_argon2id_and_nowhere_as_text(file: Path) -> None:
    hashed = read_users(file).users["sato"].password_hash
    assert hashed is not None
    assert hashed.startswith("$argon2id$")
    assert PASSWORD not in file.read_text()


def test_hashing_costs_what_rfc_9106_recommends_unless_told_otherwise() -> None:
    hasher = Doors(Path("u"), Path("e"), Path("a"), "key").hasher
    costs = (hasher.time_cost, hasher.memory_cost, hasher.parallelism)
    assert costs == (RFC_9106_LOW_MEMORY.time_cost, RFC_9106_LOW_MEMORY.memory_cost, RFC_9106_LOW_MEMORY.parallelism)


def test_a_name_that_does_not_exist_costs_one_check_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    verify = PasswordHasher.verify

    def count(self: PasswordHasher, hashed: str, password: str) -> bool:
        checked.append(hashed)
        return verify(self, hashed, password)

    monkeypatch.setattr(PasswordHasher, "verify", count)
    users = read_users(file)
    check_password(users, "sato", "wrong", CHEAP)
    check_password(users, "nobody", "wrong", CHEAP)
    assert len(checked) == 2
    assert checked[0].split("$")[:4] == checked[1].split("$")[:4]  # the same costs


def test_the_same_password_from_another_keyboard_is_the_same(tmp_path: Path) -> None:
    file = tmp_path / "users.json"
    add_user(file, "ota", "viewer", "ﾊﾟｽﾜｰﾄﾞのｶﾞｷﾞｸﾞ", NOW, CHEAP)
    assert check_password(read_users(file), "ota", "パスワードのガギグ", CHEAP) is not None


@pytest.mark.parametrize("password", ["", "short", "elevenchars", "a" * 257, "satosatosato", "Sato-1-Sato-"])
def test_weak_passwords_are_refused(password: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="password"):
        add_user(tmp_path / "users.json", "sato", "viewer", password, NOW, CHEAP)
    assert not (tmp_path / "users.json").exists()


@pytest.mark.parametrize("name", ["", "Sato", "sa to", "../etc", "佐藤", "a" * 65, "sato\n", "-rf"])
def test_names_that_could_be_something_else_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="user's name"):
        add_user(tmp_path / "users.json", name, "viewer", PASSWORD, NOW, CHEAP)


def test_a_name_is_given_once(file: Path) -> None:
    with pytest.raises(UsageError, match="already"):
        add_user(file, "sato", "admin", PASSWORD, NOW, CHEAP)
    assert read_users(file).users["sato"].role == "analyst"


def test_another_password_is_another_mark(file: Path) -> None:
    before = read_users(file).users["sato"].mark
    change_password(file, "sato", "snow on a tin roof", CHEAP)
    users = read_users(file)
    assert users.users["sato"].mark != before
    assert check_password(users, "sato", PASSWORD, CHEAP) is None
    assert check_password(users, "sato", "snow on a tin roof", CHEAP) is not None


# --- tokens


def test_a_token_is_known_until_it_is_revoked_and_kept_as_a_hash(file: Path) -> None:
    token = issue_token(file, "sato", NOW)
    assert read_users(file).find_token(token) == ("sato", "analyst")
    assert read_users(file).find_token(token[:-1]) is None
    assert token not in file.read_text()
    assert len(token) >= 43  # 32 bytes
    assert revoke_tokens(file, "sato") == 1
    assert read_users(file).find_token(token) is None


def test_a_token_carries_no_more_than_its_user_may(file: Path) -> None:
    with pytest.raises(UsageError, match="cannot be admin"):
        issue_token(file, "sato", NOW, "admin")
    token = issue_token(file, "sato", NOW, "viewer")
    assert read_users(file).find_token(token) == ("sato", "viewer")
    full = issue_token(file, "sato", NOW)
    lowered = Users.model_validate_json(file.read_text().replace('"role": "analyst"', '"role": "viewer"', 1))
    assert lowered.users["sato"].role == "viewer"
    assert lowered.find_token(full) == ("sato", "viewer")


def test_removing_a_user_takes_the_tokens_along(file: Path) -> None:
    token = issue_token(file, "sato", NOW)
    remove_user(file, "sato")
    assert read_users(file) == Users()
    assert read_users(file).find_token(token) is None


@pytest.mark.parametrize("change", [remove_user, revoke_tokens])
def test_a_user_who_is_none_is_named(change: object, file: Path) -> None:
    assert callable(change)
    with pytest.raises(UsageError, match="nobody: no such user"):
        change(file, "nobody")


# --- the file


def test_secrets_are_for_their_owner_only(file: Path) -> None:
    assert mode(file) == 0o600
    secret = file.with_name("secret-key")
    assert len(read_or_make_secret(secret)) == 64
    assert mode(secret) == 0o600


def test_a_file_that_others_may_read_is_refused_with_the_remedy(file: Path) -> None:
    file.chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        read_users(file)


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 2, "users": {}}', '{"users": {"sato": {"role": "root"}}}'])
def test_a_damaged_file_is_no_empty_file(content: str, file: Path) -> None:
    """An empty one would open the doors of the own machine."""
    file.write_text(content)
    with pytest.raises(UsageError, match="damaged"):
        read_users(file)


def test_a_change_that_fails_leaves_the_file_and_nothing_beside_it(file: Path) -> None:
    before = file.read_bytes()

    def stumble(old: bytes | None) -> bytes:
        raise RuntimeError(f"{len(old or b'')} bytes in")

    with pytest.raises(RuntimeError, match="bytes in"):
        change_private(file, stumble)
    assert file.read_bytes() == before
    assert sorted(found.name for found in file.parent.iterdir()) == ["users.json", "users.json.lock"]


def test_changes_at_the_same_time_lose_nobody(tmp_path: Path) -> None:
    file = tmp_path / "users.json"
    adding = [
        threading.Thread(target=add_user, args=(file, f"agent{k}", "viewer", PASSWORD, NOW, CHEAP)) for k in range(12)
    ]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()
    assert len(read_users(file).users) == 12


def test_a_secret_too_short_to_be_ours_is_refused(tmp_path: Path) -> None:
    change_private(tmp_path / "secret-key", lambda _: b"changeme")
    with pytest.raises(UsageError, match="delete it"):
        read_or_make_secret(tmp_path / "secret-key")
    assert read_private(tmp_path / "secret-key") == b"changeme"


# --- the audit log


def test_the_audit_log_tells_an_export_in_one_line(tmp_path: Path) -> None:
    file = find_audit_file(tmp_path)
    record(file, "export", "sato", "analyst", NOW, filter="region=Tokyo\nx", format="csv", rows=3, sha256="1" * 64)
    (line,) = file.read_text().splitlines()
    told = json.loads(line)
    assert (told["who"], told["filter"], told["rows"], told["sha256"]) == ("sato", "region=Tokyo\nx", 3, "1" * 64)
    assert told["when"] == "2026-11-02T08:30:00+00:00"
    assert (mode(file), mode(file.parent)) == (0o600, 0o700)


def test_the_audit_log_holds_no_telephone_number_and_no_endless_text(tmp_path: Path) -> None:
    file = find_audit_file(tmp_path)
    record(
        file, "export", "sato", "analyst", NOW, filter="search=090-1234-5678 slot=2026-11-02T18:00", preset="x" * 5000
    )
    told = json.loads(file.read_text())
    assert told["filter"] == "search=••• slot=2026-11-02T18:00"
    assert len(told["preset"]) <= 600


def test_lines_of_several_processes_never_mix(tmp_path: Path) -> None:
    program = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path; from app.audit import record\n"
        "for k in range(200): record(Path(sys.argv[1]), 'export', sys.argv[2], 'viewer',"
        " datetime(2026, 11, 2, tzinfo=UTC), filter='x' * 500)"
    )
    file = tmp_path / "audit.jsonl"
    house = str(Path(__file__).resolve().parent.parent)
    writing = [
        subprocess.Popen([sys.executable, "-c", program, str(file), name], env={**os.environ, "PYTHONPATH": house})
        for name in ("one", "two", "three")
    ]
    assert [one.wait(timeout=60) for one in writing] == [0, 0, 0]
    told = [json.loads(line)["who"] for line in file.read_text().splitlines()]
    assert {name: told.count(name) for name in ("one", "two", "three")} == {"one": 200, "two": 200, "three": 200}


# --- the commands


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and passwords that cost nothing."""
    monkeypatch.setenv("KAKEDOKI_HOME", str(tmp_path / "var"))
    monkeypatch.setattr("argon2.PasswordHasher", lambda: CHEAP)
    return tmp_path / "var"


def call(*words: str, typed: str = "") -> Result:
    return CliRunner().invoke(kakedoki, ["user", *words], input=typed)


def test_a_user_comes_gets_a_token_and_goes(home: Path) -> None:
    assert call("add", "sato", "--role", "analyst", typed=f"{PASSWORD}\n").exit_code == 0
    issued = call("token", "sato", "--role", "viewer")
    assert issued.exit_code == 0
    token = issued.stdout.strip()
    assert read_users(home / "users.json").find_token(token) == ("sato", "viewer")
    assert "sato\tanalyst\tpassword\t1 tokens" in call("list").stdout
    assert call("password", "sato", typed="snow on a tin roof\n").exit_code == 0
    assert "1 tokens" in call("token", "sato", "--revoke").stdout
    assert call("remove", "sato").exit_code == 0
    assert read_users(home / "users.json") == Users()
    told = find_audit_file(home).read_text()
    events = [json.loads(line)["event"] for line in told.splitlines()]
    assert events == ["user_added", "token_issued", "password_changed", "tokens_revoked", "user_removed"]
    assert [secret for secret in (PASSWORD, token, "snow on") if secret in told] == []


def test_a_program_needs_no_password(home: Path) -> None:
    assert "kakedoki user token dialler" in call("add", "dialler", "--no-password").stdout
    users = read_users(home / "users.json")
    assert users.users["dialler"].password_hash is None
    assert check_password(users, "dialler", "", CHEAP) is None


@pytest.mark.parametrize("command", ["add", "password", "token", "list", "remove"])
def test_each_command_shows_an_example(command: str) -> None:
    assert f"Example: kakedoki user {command}" in " ".join(call(command, "--help").output.split())


def test_passwords_are_no_arguments() -> None:
    assert call("add", "sato", PASSWORD).exit_code == 2
    assert "--password" not in call("add", "--help").output


@pytest.mark.parametrize(
    ("words", "typed", "told"),
    [
        (["add", "sato"], "short\n", "12 to 256 characters"),
        (["add", "Sato"], f"{PASSWORD}\n", "lower-case"),
        (["token", "sato"], "", "no such user"),
        (["remove", "sato"], "", "no such user"),
        (["password", "sato"], f"{PASSWORD}\n", "no such user"),
    ],
)
@pytest.mark.usefixtures("home")
def test_what_cannot_be_done_exits_2_with_one_line(words: list[str], typed: str, told: str) -> None:
    refused = call(*words, typed=typed)
    assert refused.exit_code == 2
    (line,) = refused.stderr.splitlines()
    assert line.startswith("kakedoki: ")
    assert told in line


def test_the_joined_command_line_loads_nothing_heavy() -> None:
    program = "import sys; import app.commands; print([m for m in ('fastapi', 'pandas', 'argon2') if m in sys.modules])"
    house = str(Path(__file__).resolve().parent.parent)
    environment = {**os.environ, "PYTHONPATH": house}
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert shown.stdout.strip() == "[]"
