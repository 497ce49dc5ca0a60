"""What the gate said of a model, in the reader's language: runs keep it as an English sentence."""

import re
from functools import cache

from app.rendering import read_words, speak

_PARTS = {"lead": "gate_lead_", "whom": "gate_whom_", "what": "gate_what_"}


def translate_verdict(sentence: str, language: str) -> str | None:
    """Say a verdict in a language; None for a sentence that is not known, such as an older version's.

    >>> translate_verdict("no dials in the forward fold to judge it on", "ja")
    '不合格：判定に使う将来期間の架電がありません'
    >>> translate_verdict("passed with honours", "ja") is None
    True
    """
    return sentence if language == "en" else _translate(sentence, "gate_said_", language)


def _translate(sentence: str, kind: str, language: str) -> str | None:
    for key, pattern in _build_patterns(kind).items():
        found = pattern.fullmatch(sentence)
        if found is not None:
            told = {name: _translate_part(name, part, language) for name, part in found.groupdict().items()}
            return speak(key, language, **told)
    return None


def _translate_part(name: str, part: str, language: str) -> str:
    kind = _PARTS.get(name)
    return part if kind is None else _translate(part, kind, language) or part


@cache
def _build_patterns(kind: str) -> dict[str, re.Pattern[str]]:
    """Patterns that read the English words of every key of a kind back into their parts."""
    return {
        key: re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(told["en"])))
        for key, told in read_words().items()
        if key.startswith(kind)
    }
