"""Addresses of sources, fit to be shown: passwords never leave this file."""

import re
from urllib.parse import unquote

MASK = "•••"

_USER_PASSWORD = re.compile(r"(://[^:/?#]*):(.*)@", re.DOTALL)
_PASSWORD_OPTION = re.compile(r"([?&;\s](?:ssl)?pass(?:word|wd|phrase)?=)([^&;\s]*)", re.IGNORECASE)


def mask_password(address: str) -> str:
    """Give the address with every password in it masked, even one that holds ``@`` or ``/``.

    >>> mask_password("postgresql://kaori:s3cr@t@db.example/calls?sslpassword=x")
    'postgresql://kaori:•••@db.example/calls?sslpassword=•••'
    """
    without_user = _USER_PASSWORD.sub(rf"\1:{MASK}@", address)
    return _PASSWORD_OPTION.sub(rf"\1{MASK}", without_user)


def scrub(message: str, address: str) -> str:
    r"""Give a driver's message in one line, without the passwords of the address.

    >>> scrub("cannot reach\n s3cret@db", "postgresql://kaori:s3cret@db/calls")
    'cannot reach •••@db'
    """
    secrets = [found[1] for found in _USER_PASSWORD.findall(address) + _PASSWORD_OPTION.findall(address)]
    for secret in sorted({*secrets, *map(unquote, secrets)} - {""}, key=len, reverse=True):
        message = message.replace(secret, MASK)
    return " ".join(mask_password(message).split())
