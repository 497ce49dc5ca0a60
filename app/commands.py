"""The command line as people have it: the nights' commands, the page, and who may open it."""

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from configs.settings import Role
from pipelines.cli import app as kakedoki
from pipelines.cli import main as run
from pipelines.failures import end_with_exit_code
from pipelines.options import Config
from pipelines.runs import find_var

__all__ = ["kakedoki", "main", "user"]

user = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
kakedoki.add_typer(user, name="user", help="Who may open the page: users with roles, and tokens for programs.")

Name = Annotated[str, typer.Argument(help="Lower-case letters, digits and . _ @ -", show_default=False)]


def main() -> None:
    """Run the command line, the page's commands included."""
    run()


@kakedoki.command()
def serve(
    plan: Annotated[Path | None, typer.Option(help="Show this run's folder.", show_default="the newest night")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; beyond this machine only with users.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    config: Config = None,
) -> None:
    """Serve the analysts' page and the interface for dialers, until Ctrl-C.

    Example: kakedoki serve --port 8000
    """
    with _running("serve") as var:
        from app.serving import serve_site
        from configs.settings import read_settings

        serve_site(var, read_settings(*config or ()), host, port, plan, lambda told: typer.echo(told, err=True))


@kakedoki.command()
def forget(
    customer_id: Annotated[str, typer.Argument(help="As the source writes it.", show_default=False)],
    run: Annotated[
        list[Path] | None, typer.Option(help="Also this run's folder; may be repeated.", show_default="all known runs")
    ] = None,
) -> None:
    """Take one customer out of everything kakedoki keeps: runs, posted outcomes, logs; say what was done to each file.

    Example: kakedoki forget C0001
    """
    with _running("forget") as var:
        from app.audit import find_audit_file, record
        from pipelines.forget import forget_customer

        erased = forget_customer(var, customer_id, run or ())
        for each in erased:
            typer.echo(each.spell())
        if not erased:
            typer.echo(f"nothing that is kept names {customer_id}: not known here, or forgotten already")
        who = f"{getpass.getuser()} on the command line"
        record(find_audit_file(var), "customer_forgotten", who, None, _now(), files=len(erased))
        typer.echo("left to you: the source, from which the next night reads, and files that were taken out", err=True)


@user.command("add")
def add(
    name: Name,
    role: Annotated[Role, typer.Option(help="viewer: looks. analyst: also exports. admin: everything.")] = "viewer",
    no_password: Annotated[
        bool, typer.Option("--no-password", help="A program, which comes with a token only.")
    ] = False,
) -> None:
    """Add a user; the password is asked for, or read from the first line of stdin.

    Example: kakedoki user add sato --role analyst
    """
    with _running("user-add") as var:
        from argon2 import PasswordHasher

        from app.users import add_user

        password = None if no_password else _ask_password()
        add_user(var / "users.json", name, role, password, _now(), PasswordHasher())
        _tell(var, "user_added", name, role)
        typer.echo(f"{name} may now sign in as {role}" if password else f"next: kakedoki user token {name}")


@user.command("password")
def password(name: Name) -> None:
    """Give a user another password; their sessions end.

    Example: kakedoki user password sato
    """
    with _running("user-password") as var:
        from argon2 import PasswordHasher

        from app.users import change_password

        change_password(var / "users.json", name, _ask_password(), PasswordHasher())
        _tell(var, "password_changed", name)
        typer.echo(f"{name} has another password; all sessions of {name} have ended")


@user.command("token")
def token(
    name: Name,
    role: Annotated[Role | None, typer.Option(help="Less than the user's own role.", show_default="the user's")] = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="Make all tokens of this user worthless instead.")] = False,
) -> None:
    """Make a token for a program, shown once; it sends `Authorization: Bearer TOKEN`.

    Example: kakedoki user token dialler
    """
    with _running("user-token") as var:
        from app.users import issue_token, revoke_tokens

        if revoke:
            n_tokens = revoke_tokens(var / "users.json", name)
            _tell(var, "tokens_revoked", name)
            typer.echo(f"{n_tokens} tokens of {name} are worthless now")
            return
        made = issue_token(var / "users.json", name, _now(), role)
        _tell(var, "token_issued", name, role)
        typer.echo("Keep this token, it cannot be shown again:", err=True)
        typer.echo(made)


@user.command("list")
def list_users() -> None:
    """List users, their roles and how many tokens they have.

    Example: kakedoki user list
    """
    with _running("user-list") as var:
        from app.users import read_users

        known = read_users(var / "users.json").users
        for name, one in sorted(known.items()):
            way = "password" if one.password_hash else "no password"
            typer.echo(f"{name}\t{one.role}\t{way}\t{len(one.tokens)} tokens\tsince {one.created:%Y-%m-%d}")
        if not known:
            typer.echo("no users: on this machine the page is open, elsewhere it is not served", err=True)


@user.command("remove")
def remove(name: Name) -> None:
    """Remove a user with all tokens and sessions.

    Example: kakedoki user remove sato
    """
    with _running("user-remove") as var:
        from app.users import remove_user

        remove_user(var / "users.json", name)
        _tell(var, "user_removed", name)
        typer.echo(f"{name} is removed; tokens and sessions of {name} are worthless now")


def _ask_password() -> str:
    """Never an argument: arguments are seen by everybody on the machine, and kept in the shell's history."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


def _tell(var: Path, event: str, name: str, role: str | None = None) -> None:
    from app.audit import find_audit_file, record

    record(find_audit_file(var), event, f"{getpass.getuser()} on the command line", role, _now(), user=name)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@contextmanager
def _running(command: str) -> Iterator[Path]:
    """Fail as every command does: one line with the remedy, an exit code by cause."""
    var = find_var()
    with end_with_exit_code(command, var, datetime.now().astimezone()):
        yield var


if __name__ == "__main__":
    main()
