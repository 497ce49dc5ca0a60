"""The eight outcomes of a dial, and the sets that the rest of the product asks about."""

from typing import Final

OUTCOMES: Final = (
    "keyman_contact",
    "third_party",
    "no_answer",
    "busy",
    "voicemail",
    "wrong_number",
    "abandoned",
    "failed",
)
"""Every outcome that a checked attempt can have (DESIGN section 3)."""

CONTACT: Final = "keyman_contact"
"""The intended person was reached: the model's target."""

THIRD_PARTY: Final = "third_party"
"""Somebody else of the household or office answered."""

WRONG_NUMBER: Final = "wrong_number"
"""The number does not belong to the customer; bars the customer for good."""

CONNECTED: Final = frozenset({CONTACT, THIRD_PARTY, WRONG_NUMBER, "abandoned"})
"""A live person answered (numerator of the connect rate).

A wrong number is known because somebody said so. An abandoned call was answered and then dropped before an agent came,
so the person was there. A voicemail is a machine.
"""
