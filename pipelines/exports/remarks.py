"""What is worth telling about an export, in both languages of the page."""


class Remark(str):
    """A sentence in English, as the command line prints it, that also knows itself in Japanese.

    Examples
    --------
    >>> told = Remark("nothing matches", "該当する行がありません")
    >>> told, told.japanese
    ('nothing matches', '該当する行がありません')
    """

    __slots__ = ("japanese",)
    japanese: str

    def __new__(cls, english: str, japanese: str) -> "Remark":
        """Keep both sentences."""
        made = super().__new__(cls, english)
        made.japanese = japanese
        return made
