"""The 47 prefectures of Japan: name, block, rounded population (2020 census, in 10,000), and whether it is urban."""

from typing import NamedTuple


class Prefecture(NamedTuple):
    """One prefecture; ``block`` indexes ``BLOCKS``; ``population`` in units of 10,000 people."""

    name: str
    block: int
    population: int
    is_urban: bool


BLOCKS = ("Hokkaido", "Tohoku", "Kanto", "Chubu", "Kinki", "Chugoku", "Shikoku", "Kyushu")

_BY_BLOCK = (
    "Hokkaido 522",
    "Aomori 124, Iwate 121, Miyagi 230, Akita 96, Yamagata 107, Fukushima 183",
    "Ibaraki 287, Tochigi 193, Gunma 194, Saitama 734*, Chiba 628*, Tokyo 1405*, Kanagawa 924*",
    "Niigata 220, Toyama 103, Ishikawa 113, Fukui 77, Yamanashi 81, Nagano 205, Gifu 198, Shizuoka 363, Aichi 754*",
    "Mie 177, Shiga 141, Kyoto 258*, Osaka 884*, Hyogo 547*, Nara 132, Wakayama 92",
    "Tottori 55, Shimane 67, Okayama 189, Hiroshima 280, Yamaguchi 134",
    "Tokushima 72, Kagawa 95, Ehime 133, Kochi 69",
    "Fukuoka 514*, Saga 81, Nagasaki 131, Kumamoto 174, Oita 112, Miyazaki 107, Kagoshima 159, Okinawa 147",
)


def _read_entry(entry: str, block: int) -> Prefecture:
    name, population = entry.split()
    return Prefecture(name, block, int(population.rstrip("*")), population.endswith("*"))


PREFECTURES: tuple[Prefecture, ...] = tuple(
    _read_entry(entry, block) for block, line in enumerate(_BY_BLOCK) for entry in line.split(", ")
)
