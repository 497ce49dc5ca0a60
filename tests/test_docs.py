"""What the documents say is held against the code, so that they cannot drift apart."""

import re
import shlex
import subprocess
import tomllib
from io import StringIO
from pathlib import Path

import click
import pandas as pd
import pytest
import typer.main
from conftest import FinishedNight

from app.commands import kakedoki as app
from configs.errors import KakedokiError
from configs.settings import Settings
from features.columns import AGENT_COLUMNS, ATTEMPT_COLUMNS, CAPACITY_COLUMNS, CUSTOMER_COLUMNS, REQUIRED
from features.contracts import check_tables
from features.outcomes import OUTCOMES
from features.quarantine import REJECT_COLUMNS
from pipelines.exports.sentences import EXCLUDED_MEANINGS
from pipelines.exports.tables import EXCLUDED_COLUMNS, SHIFTS_COLUMNS, STAFFING_COLUMNS, call_list_schema

HOUSE = Path(__file__).resolve().parent.parent
READMES = {name: (HOUSE / name).read_text(encoding="utf-8") for name in ("README.md", "README.ja.md")}
DOCUMENTS = [
    *READMES,
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "GLOSSARY.md",
    *sorted(str(file.relative_to(HOUSE)) for file in (HOUSE / "docs" / "decisions").glob("*.md")),
]
COLUMNS = {
    "call_list.csv, call_list.parquet": tuple(call_list_schema("Asia/Tokyo").names),
    "excluded.csv": EXCLUDED_COLUMNS,
    "staffing.csv": STAFFING_COLUMNS,
    "shifts.csv": SHIFTS_COLUMNS,
    "quarantine/rejects.csv": tuple(REJECT_COLUMNS),
}
WORDS = (
    "customer", "attempt", "outcome", "connect", "keyman contact", "p_keyman", "slot", "slot_start", "calling window",
    "attempt cap", "capacity", "AHT", "workload", "occupancy", "shrinkage", "call list", "staffing hint", "seat price",
    "policy", "propensity", "baseline", "champion", "challenger", "as_of", "connect rate", "keyman contact rate",
    "conversion rate", "ATT", "ACW", "CPH", "CPC", "abandonment", "schedule adherence", "接続率", "架電数", "成約率",
    "キーマンコンタクト率", "稼働率", "放棄呼率", "架電単価", "平均処理時間", "シフト遵守率",
)  # fmt: skip


def read(name: str) -> str:
    return (HOUSE / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def shell_lines(text: str) -> list[list[str]]:
    """Words of every command in a text's bash blocks, comments left out, continued lines joined."""
    joined = "\n".join(blocks(text, "bash")).replace("\\\n", " ")
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]


def section(text: str, heading: str) -> str:
    """From a heading to the next one of any level."""
    begin = re.search(rf"^#+ {re.escape(heading)}\n", text, flags=re.MULTILINE)
    assert begin is not None, heading
    return re.split(r"^#+ ", text[begin.end() :], maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> list[str]:
    """First cell of every row of the tables in a text, without their headings."""
    rows = re.findall(r"^\| ?(.*?) ?\|", text, flags=re.MULTILINE)
    return [cell for cell, below in zip(rows, [*rows[1:], ""], strict=True) if "---" not in cell + below]


def names_in(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def commands() -> dict[str, click.Command]:
    root = typer.main.get_command(app)
    assert hasattr(root, "commands")
    return dict(root.commands)


def options(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts} | {"--help", "-h"}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), flags=re.MULTILINE))


def kakedoki_lines() -> list[tuple[str, list[str]]]:
    lines = [(name, words) for name in DOCUMENTS for words in shell_lines(read(name))]
    return [(name, words[1:]) for name, words in lines if words[0].rpartition("/")[2] == "kakedoki"]


@pytest.mark.parametrize(
    ("name", "words"), kakedoki_lines(), ids=lambda part: part if isinstance(part, str) else part[0]
)
def test_every_command_that_a_document_shows_is_understood(name: str, words: list[str]) -> None:
    command = commands()[words[0]]
    if hasattr(command, "commands"):  # a group, as kakedoki user
        command = command.commands[words[1]]
    given = {word for word in words if word.startswith("--")}
    assert given - options(command) == set(), name
    required = {option.opts[0] for option in command.params if option.required and option.param_type_name == "option"}
    assert required - given == set(), name


def test_both_readmes_show_every_command_that_needs_no_explanation_of_its_own() -> None:
    shown = {words[0] for name, words in kakedoki_lines() if name in READMES}
    assert {"check", "nightly", "schedule", "train", "plan", "tune"} <= shown


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_and_targets_named_in_running_text_exist(name: str) -> None:
    text = read(name)
    inline = [cell.split() for cell in re.findall(r"`((?:kakedoki|make) [a-z][^`]*)`", text)]
    made = {words[1] for words in [*inline, *shell_lines(text)] if words[0] == "make"}
    run = {words[1] for words in inline if words[0] == "kakedoki"}
    assert made - targets() == set()
    assert run - set(commands()) == set()


def test_every_command_has_a_place_in_the_readmes() -> None:
    for name, text in READMES.items():
        assert [c for c in commands() if not re.search(rf"(kakedoki|make) {c}\b", text)] == [], name


@pytest.mark.parametrize("name", READMES)
@pytest.mark.parametrize("file", COLUMNS)
def test_the_readmes_name_the_columns_of_an_output_in_their_order(name: str, file: str) -> None:
    cells = first_cells(section(READMES[name], file))
    assert tuple(cell.strip("`") for cell in cells) == COLUMNS[file]


@pytest.mark.parametrize("name", READMES)
def test_the_readmes_name_every_file_of_a_run_and_no_other(name: str, small_night: FinishedNight) -> None:
    files = [str(file.relative_to(small_night.out)) for file in small_night.out.rglob("*") if file.is_file()]
    left = {file for file in files if not file.startswith("page/")}
    headings = re.findall(r"^### (.*)$", READMES[name], flags=re.MULTILINE)
    told = {file for heading in headings for file in re.findall(r"[\w/]+\.(?:csv|parquet|html|json)", heading)}
    assert told == left | {"shifts.csv"}  # the small night has no shift templates
    assert "page/" in READMES[name]


@pytest.mark.parametrize("name", READMES)
def test_the_hints_and_arms_of_a_real_night_are_explained(name: str, small_night: FinishedNight) -> None:
    hints = set(pd.read_csv(small_night.out / "staffing.csv")["hint"])
    arms = set(pd.read_csv(small_night.out / "call_list.csv")["arm"])
    assert hints - set(names_in(section(READMES[name], "staffing.csv"))) == set()
    assert arms - set(names_in(section(READMES[name], "call_list.csv, call_list.parquet"))) == set()


@pytest.mark.parametrize("name", READMES)
def test_every_reason_for_leaving_somebody_out_is_explained(name: str) -> None:
    told = names_in(section(READMES[name], "excluded.csv"))
    assert set(EXCLUDED_MEANINGS) - set(told) == set()


@pytest.mark.parametrize("name", READMES)
def test_the_readmes_tell_every_column_of_the_input_and_which_may_be_missing(name: str) -> None:
    text = READMES[name]
    tables = text[text.index("**customers**") : text.index("**capacity**")]
    parts = dict(zip(("customers", "call_attempts"), tables.split("**call_attempts**"), strict=True))
    for table, columns in (("customers", CUSTOMER_COLUMNS), ("call_attempts", ATTEMPT_COLUMNS)):
        cells = " ".join(first_cells(parts[table]))
        assert set(names_in(cells)) == set(columns), table
        optional = set(re.findall(r"[\[［]`(\w+)`[\]］]", cells))
        assert set(columns) - optional == set(REQUIRED[table]), table
    rest = text[text.index("**capacity**") : text.index("## 2.")]
    assert (set(AGENT_COLUMNS) | set(CAPACITY_COLUMNS)) - set(names_in(rest)) == set()
    assert [outcome for outcome in OUTCOMES if outcome not in parts["call_attempts"]] == []


@pytest.mark.parametrize("name", READMES)
def test_the_examples_of_tables_break_no_contract(name: str) -> None:
    raw = {
        table: pd.read_csv(StringIO(block), dtype="str")
        for table, block in zip(("customers", "call_attempts"), blocks(READMES[name], "text"), strict=True)
    }
    tables, report = check_tables(raw, pd.Timestamp("2026-11-02", tz="Asia/Tokyo"), Settings())
    assert report.rejects.empty
    assert tables.customers["do_not_call"].tolist() == [False, True]
    assert tables.call_attempts["outcome"].tolist() == ["no_answer", "keyman_contact"]


@pytest.mark.parametrize("name", READMES)
def test_the_readmes_tell_every_exit_code(name: str) -> None:
    codes = {0, KakedokiError.exit_code, *(kind.exit_code for kind in KakedokiError.__subclasses__())}
    told = {int(cell) for cell in first_cells(READMES[name]) if cell.isdigit()}
    assert told == codes


@pytest.mark.parametrize("name", READMES)
def test_the_defaults_in_the_readmes_are_the_settings_own(name: str) -> None:
    settings = Settings()
    rows = re.findall(r"^\| (`[a-z_.]+`(?:, `[a-z_.]+`)*) \| (.*?) \|", READMES[name], flags=re.MULTILINE)
    checked = 0
    for keys, shown in rows:
        for key in names_in(keys):
            value: object = settings
            for part in key.split("."):
                value = getattr(value, part, None)
            if value is None:
                continue
            spelled = (
                ", ".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else value
            )
            assert str(spelled) in shown, key
            checked += 1
    assert checked >= 8
    limits = (settings.model.min_rows, settings.model.min_contacts, settings.max_log_age_days)
    assert [number for number in limits if not re.search(rf"(?<!\d){number}(?!\d)", READMES[name])] == []
    assert f"{settings.max_bad_share:.0%}".replace("%", " %") in READMES[name]


@pytest.mark.parametrize("name", READMES)
def test_every_map_and_rule_pack_is_named(name: str) -> None:
    maps = [f"configs/sources/{file.name}" for file in (HOUSE / "configs" / "sources").glob("*.yaml")]
    packs = [file.stem for file in (HOUSE / "configs" / "rules").glob("*.yaml")]
    assert [word for word in [*maps, *packs] if word not in READMES[name]] == []


def test_both_readmes_show_the_same_commands() -> None:
    english, japanese = (shell_lines(text) for text in READMES.values())
    assert english == japanese


def test_both_readmes_have_the_same_sections_and_tables() -> None:
    english, japanese = (
        {
            "headings": re.findall(r"^(#+) ", text, flags=re.MULTILINE),
            "examples": blocks(text, "text"),
            "links": sorted(set(re.findall(r"\]\(((?:configs|docs)/[^)]+)\)", text))),
            "names": [names_in(cell) for cell in first_cells(text)],
        }
        for text in READMES.values()
    )
    assert english == japanese


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_to_files_that_exist(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", read(name))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (HOUSE / name).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("name", READMES)
def test_settings_files_in_commands_exist(name: str) -> None:
    for words in shell_lines(READMES[name]):
        files = [words[k + 1] for k, word in enumerate(words) if word == "--config"]
        assert [file for file in files if not (HOUSE / file).exists()] == []


def test_the_documents_name_the_version_of_uv_that_make_installs() -> None:
    pinned = re.search(r"^UV_VERSION := (.+)$", read("Makefile"), flags=re.MULTILINE)
    assert pinned is not None
    for text in READMES.values():
        assert re.findall(r"uv==([\d.]+)", text) == [pinned[1]]


@pytest.mark.parametrize("word", WORDS)
def test_the_glossary_explains_the_words_of_the_house(word: str) -> None:
    rows = [row for row in read("GLOSSARY.md").splitlines() if row.startswith("|")]
    assert any(word in row.split("|")[1] + row.split("|")[-2] for row in rows)


def test_the_changelog_tells_the_version_of_the_package() -> None:
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    assert f"## [{version}] - " in read("CHANGELOG.md")
    assert "## [Unreleased]" in read("CHANGELOG.md")


def test_the_picture_is_a_small_png_said_to_be_simulated() -> None:
    picture = (HOUSE / "docs" / "pictures" / "report.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 400_000
    assert re.search(r"report\.png\)\n\n\*.*simulated", READMES["README.md"], flags=re.DOTALL)
    assert re.search(r"report\.png\)\n\n\*.*シミュレーション", READMES["README.ja.md"], flags=re.DOTALL)


def test_decisions_are_numbered_without_gaps_and_say_the_same_things() -> None:
    files = [name for name in DOCUMENTS if name.startswith("docs/decisions/")]
    assert [int(Path(name).name[:4]) for name in files] == list(range(1, len(files) + 1))
    for name in files:
        assert re.match(rf"# {Path(name).name[:4]} \S", read(name)), name
        assert [part for part in ("Question", "Decision") if f"\n## {part}\n" not in read(name)] == [], name


def test_the_licence_is_the_one_that_the_package_names() -> None:
    assert tomllib.loads(read("pyproject.toml"))["project"]["license"] == "Apache-2.0"
    licence = read("LICENSE")
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence


def tracked_texts() -> dict[str, str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=HOUSE, capture_output=True, text=True, check=True).stdout
    texts = {}
    for name in filter(None, listed.split("\0")):
        file = HOUSE / name
        content = file.read_bytes() if file.is_file() else b""
        if b"\0" not in content:
            texts[name] = content.decode("utf-8", errors="replace")
    return texts


def test_no_tracked_file_names_a_package_registry() -> None:
    hosts = ["py" + "pi.org", "python" + "hosted.org", "conda." + "anaconda", "registry." + "npmjs", "crates" + ".io"]
    named = [(name, host) for name, text in tracked_texts().items() for host in hosts if host in text]
    assert named == []


def test_no_tracked_file_names_a_folder_of_a_builders_machine() -> None:
    machine = re.compile(r"(?<![\w.])/(?:work|root|home)/\w|(?<![\w.])/tmp/k" + "d")
    named = {name for name, text in tracked_texts().items() if machine.search(text)}
    assert named - {"tests/test_house.py"} == set()
