"""Ways in which a log is damaged before it arrives; each takes a frame with an outcome and returns a damaged one."""

from collections.abc import Callable

import numpy as np
import pandas as pd


def shuffle_labels(log: pd.DataFrame) -> pd.DataFrame:
    return log.assign(outcome=np.random.default_rng(5).permutation(log["outcome"]))


def lose_half(log: pd.DataFrame) -> pd.DataFrame:
    return log[np.random.default_rng(6).random(len(log)) < 0.5]


def remap_to_contact(log: pd.DataFrame) -> pd.DataFrame:
    return log.assign(outcome=log["outcome"].replace("third_party", "keyman_contact"))


def remap_to_no_answer(log: pd.DataFrame) -> pd.DataFrame:
    return log.assign(outcome=log["outcome"].replace("busy", "no_answer"))


POISONS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "labels shuffled": shuffle_labels,
    "half the rows missing": lose_half,
    "a code remapped to contact": remap_to_contact,
    "a code remapped to no answer": remap_to_no_answer,
}
