from features.outcomes import CONNECTED, CONTACT, OUTCOMES, THIRD_PARTY, WRONG_NUMBER


def test_the_outcomes_are_those_of_the_design():
    assert set(OUTCOMES) == {
        "keyman_contact",
        "third_party",
        "no_answer",
        "busy",
        "voicemail",
        "wrong_number",
        "abandoned",
        "failed",
    }
    assert len(OUTCOMES) == 8


def test_whoever_says_wrong_number_or_is_hung_up_on_has_answered():
    assert {CONTACT, THIRD_PARTY, WRONG_NUMBER, "abandoned"} == CONNECTED
