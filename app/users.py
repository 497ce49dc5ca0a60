"""Who may open the page: users with a role and a password, and tokens for programs, in one private file."""

import hashlib
import hmac
import json
import re
import secrets
import unicodedata
from collections.abc import Callable
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal, get_args

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import BaseModel, ConfigDict, ValidationError

from app.private_files import change_private, read_private
from configs.errors import UsageError
from configs.settings import Role

ROLES: tuple[Role, ...] = get_args(Role)
TOKEN_MARK = "kd_"
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_SHORTEST, _LONGEST = 12, 256


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Token(_Frozen):
    """A token of a user: only its hash is kept.

    The token has 32 random bytes, so a fast hash is enough: there is nothing to guess it from.
    """

    sha256: str
    role: Role
    created: datetime


class User(_Frozen):
    """One user; without ``password_hash`` tokens are the only way in."""

    role: Role
    password_hash: str | None
    created: datetime
    tokens: tuple[Token, ...] = ()

    @property
    def mark(self) -> str:
        """Changes with the password: a session begun under another one has ended."""
        return hashlib.sha256(f"{self.created.isoformat()} {self.password_hash}".encode()).hexdigest()[:16]


class Users(_Frozen):
    """The whole file."""

    version: Literal[1] = 1
    users: dict[str, User] = {}

    def find_token(self, token: str) -> tuple[str, Role] | None:
        """Return whose token it is and the role it carries: its own, or the user's where that is lower by now."""
        digest = _digest(token)
        for name, user in self.users.items():
            for known in user.tokens:
                if hmac.compare_digest(known.sha256, digest):
                    return name, min(known.role, user.role, key=ROLES.index)
        return None


def is_at_least(role: Role, wanted: Role) -> bool:
    """Say whether a role may do what another may: viewer < analyst < admin.

    >>> is_at_least("analyst", "viewer"), is_at_least("viewer", "admin")
    (True, False)
    """
    return ROLES.index(role) >= ROLES.index(wanted)


def is_user_name(name: str) -> bool:
    """Say whether a text can be a user's name: lower-case letters, digits and ``. _ @ -``, 64 at most.

    >>> is_user_name("sato@centre"), is_user_name("Sato; drop")
    (True, False)
    """
    return _NAME.fullmatch(name) is not None


def read_users(file: Path) -> Users:
    """Read the users; cheap when the file has not changed since the last call, empty when there is none.

    Raises
    ------
    UsageError
        The file is damaged, or others on this machine may read it.
    """
    try:
        found = file.stat()
    except FileNotFoundError:
        return Users()
    return _read_stamped(file, (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size))


def add_user(file: Path, name: str, role: Role, password: str | None, at: datetime, hasher: PasswordHasher) -> None:
    """Add a user.

    Parameters
    ----------
    name
        Lower case; letters, digits and ``. _ @ -``.
    password
        None: this user comes with tokens only.
    at
        Now.

    Raises
    ------
    UsageError
        The name is taken or cannot be one, or the password is too weak.

    Examples
    --------
    >>> import tempfile
    >>> from datetime import UTC
    >>> file = Path(tempfile.mkdtemp()) / "users.json"
    >>> add_user(file, "sato", "analyst", None, datetime(2026, 11, 2, tzinfo=UTC), PasswordHasher())
    >>> read_users(file).users["sato"].role
    'analyst'
    """
    if not is_user_name(name):
        raise UsageError(f"{name!r} cannot be a user's name: use lower-case letters, digits and . _ @ - (64 at most)")
    if name in read_users(file).users:
        raise UsageError(f"{name} is a user already: kakedoki user password, or kakedoki user remove first")
    user = User(role=role, password_hash=_hash(name, password, hasher), created=at)

    def change(users: dict[str, User]) -> dict[str, User]:
        if name in users:
            raise UsageError(f"{name} is a user already")
        return {**users, name: user}

    _change_users(file, change)


def change_password(file: Path, name: str, password: str, hasher: PasswordHasher) -> None:
    """Give a user another password; all sessions of that user end.

    Raises
    ------
    UsageError
        No such user, or the password is too weak.
    """
    require_user(read_users(file).users, name)
    hashed = _hash(name, password, hasher)
    _change_users(file, lambda users: users | {name: _with(require_user(users, name), password_hash=hashed)})


def remove_user(file: Path, name: str) -> None:
    """Remove a user with all tokens and sessions.

    Raises
    ------
    UsageError
        No such user.
    """

    def change(users: dict[str, User]) -> dict[str, User]:
        require_user(users, name)
        return {known: user for known, user in users.items() if known != name}

    _change_users(file, change)


def issue_token(file: Path, name: str, at: datetime, role: Role | None = None) -> str:
    """Make a token for a program and return it; it cannot be shown again.

    Parameters
    ----------
    role
        Default: the user's. A higher one is refused.

    Raises
    ------
    UsageError
        No such user, or the role is higher than the user's.
    """
    token = TOKEN_MARK + secrets.token_urlsafe(32)

    def change(users: dict[str, User]) -> dict[str, User]:
        user = require_user(users, name)
        if role is not None and not is_at_least(user.role, role):
            raise UsageError(f"{name} is {user.role}: a token cannot be {role}")
        added = Token(sha256=_digest(token), role=role or user.role, created=at)
        return users | {name: _with(user, tokens=(*user.tokens, added))}

    _change_users(file, change)
    return token


def revoke_tokens(file: Path, name: str) -> int:
    """Make all tokens of a user worthless, and return how many there were.

    Raises
    ------
    UsageError
        No such user.
    """
    n_tokens = len(require_user(read_users(file).users, name).tokens)
    _change_users(file, lambda users: users | {name: _with(require_user(users, name), tokens=())})
    return n_tokens


def check_password(users: Users, name: str, password: str, hasher: PasswordHasher) -> User | None:
    """Return the user if the password is right; as slow for a name that does not exist.

    Examples
    --------
    >>> check_password(Users(), "sato", "correct horse battery", PasswordHasher(1, 8, 1)) is None
    True
    """
    user = users.users.get(name)
    known = None if user is None else user.password_hash
    try:
        hasher.verify(known or hash_of_nobody(hasher), _normal(password))
    except (VerificationError, InvalidHashError):
        return None
    return user if known is not None else None


@cache
def hash_of_nobody(hasher: PasswordHasher) -> str:
    """Hash a password that nobody knows, to be checked in place of one that does not exist."""
    return hasher.hash(secrets.token_urlsafe(32))


def require_user(users: dict[str, User], name: str) -> User:
    """Return a user who must exist.

    Raises
    ------
    UsageError
        No such user.
    """
    if name not in users:
        raise UsageError(f"{name}: no such user: see kakedoki user list")
    return users[name]


def _change_users(file: Path, change: Callable[[dict[str, User]], dict[str, User]]) -> None:
    def rewrite(old: bytes | None) -> bytes:
        changed = change(_parse(file, old).users)
        return Users(users=changed).model_dump_json(indent=1).encode()

    change_private(file, rewrite)


@lru_cache(maxsize=8)
def _read_stamped(file: Path, stamp: tuple[int, ...]) -> Users:  # noqa: ARG001 - the stamp is the cache's key
    return _parse(file, read_private(file))


def _parse(file: Path, content: bytes | None) -> Users:
    if content is None:
        return Users()
    try:
        return Users.model_validate(json.loads(content))
    except (ValueError, ValidationError) as error:
        raise UsageError(
            f"{file}: is damaged: restore it from a backup, or delete it and add the users again"
        ) from error


def _with(user: User, **changes: object) -> User:
    return user.model_copy(update=changes)


def _hash(name: str, password: str | None, hasher: PasswordHasher) -> str | None:
    if password is None:
        return None
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise UsageError(f"a password has {_SHORTEST} to {_LONGEST} characters; a sentence is easy to remember")
    if len(password.lower().replace(name, "")) < _SHORTEST // 2:
        raise UsageError("a password is more than the user's name: choose another")
    return hasher.hash(_normal(password))


def _normal(password: str) -> str:
    """The same password typed on another keyboard or through another input method."""
    return unicodedata.normalize("NFKC", password[: 2 * _LONGEST])


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
