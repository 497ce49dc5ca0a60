"""Pictures of a night that its MLflow run keeps: reliability, heat map, importance."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from models.contact.fitting import FittedNight

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def draw_pictures(fitted: FittedNight, heat_map: pd.DataFrame) -> dict[str, Figure]:
    """File name to figure; ``heat_map`` has weekdays (0 = Monday) as index and hours as columns."""
    return {
        "reliability.png": _draw_reliability(fitted.calibration),
        "heat_map.png": _draw_heat_map(heat_map),
        "importance.png": _draw_importance(fitted.importance),
    }


def _draw_reliability(calibration: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    top = float(np.nanmax([calibration["p_mean"].max(), calibration["contact_rate"].max(), 0.01]))
    axes.plot([0, top], [0, top], color="0.7", linestyle="--")
    for fold, bins in calibration.groupby("fold"):
        axes.plot(bins["p_mean"], bins["contact_rate"], marker="o", label=str(fold))
    axes.set(xlabel="predicted", ylabel="contact rate seen", title="Reliability")
    axes.legend()
    return figure


def _draw_heat_map(heat_map: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(heat_map.to_numpy(dtype=float), aspect="auto", cmap="viridis")
    axes.set_yticks(range(len(heat_map)), [WEEKDAYS[int(day)] for day in heat_map.index])
    axes.set_xticks(range(heat_map.shape[1]), [str(hour) for hour in heat_map.columns])
    axes.set(xlabel="hour", title="Mean p_keyman of the listed customers")
    figure.colorbar(image)
    return figure


def _draw_importance(importance: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    shown = importance.head(15).iloc[::-1]
    axes.barh(shown["feature"], shown["gain_share"])
    axes.set(xlabel="share of gain", title="Importance")
    return figure
