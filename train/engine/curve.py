"""The loss curve of a run as a picture."""

from __future__ import annotations

from pathlib import Path

from .sinks import read_metrics

CURVE_FILE = "loss.png"


def draw_curve(folder: Path) -> Path | None:
    """Draws loss and accuracy by step from a run's metrics into `folder`; None where there are too few to draw."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    found = [entry for entry in read_metrics(folder) if "loss" in entry]
    if len(found) < 2:
        return None
    steps = [entry["step"] for entry in found]
    figure, axes = pyplot.subplots(figsize=(7, 4))
    (loss,) = axes.plot(steps, [entry["loss"] for entry in found], color="tab:blue", label="loss")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    lines = [loss]
    if all("accuracy" in entry for entry in found):
        right = axes.twinx()
        right.set_ylabel("accuracy")
        right.set_ylim(0, 1)
        lines += right.plot(steps, [entry["accuracy"] for entry in found], color="tab:orange", label="accuracy")
    axes.legend(handles=lines, loc="center right")
    figure.tight_layout()
    figure.savefig(folder / CURVE_FILE, dpi=120)
    pyplot.close(figure)
    return folder / CURVE_FILE
