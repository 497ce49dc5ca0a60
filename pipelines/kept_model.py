"""The model of the newest plan, kept beside the log: the afternoon is planned again without asking the registry."""

import json
import logging
import os
from pathlib import Path

from models.contact.model import ContactModel

_FILE = "model.json"


def write_model(folder: Path, name: str, version: str, model: ContactModel) -> None:
    """Keep the model that planned, under its name and version; a full disk costs only the keeping.

    Parameters
    ----------
    folder
        Of ``pipelines.kept_folder.find_kept``.
    """
    beside = folder / f".{_FILE}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps({"name": name, "version": version, "model": model.to_json()}), encoding="utf-8")
        beside.replace(folder / _FILE)
    except OSError as error:
        logging.getLogger("kakedoki").warning("%s: cannot be kept: %s", folder / _FILE, error)


def read_kept_model(folder: Path, name: str, version: str) -> ContactModel | None:
    """Read the model if it is this very version and this kakedoki can read it, else None."""
    try:
        kept = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        is_asked = (kept["name"], kept["version"]) == (name, version)
        return ContactModel.from_json(kept["model"]) if is_asked else None
    except (OSError, KeyError, TypeError, ValueError):
        return None
