"""Probes of an event: by labels, outside and inside, in finetuned networks, and steering. No jax."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from experiments.figures.looks import method_colours
from experiments.figures.measured import estimate_words
from experiments.figures.style import WIDTH, save, style
from experiments.scoring.findings import Findings
from experiments.scoring.intervals import Estimate
from experiments.scoring.labels import METHODS, number
from experiments.scoring.motor import (
    NEAR,
    Followed,
    MotorLine,
    Statement,
    followed,
    growth,
    motor_lines,
    statements,
    worlds,
)
from experiments.storage.motor_cell import LABELLED, REGIMES, VECTORS
from experiments.storage.run_folder import RunFolder

HIGH, HEAD = 6.9, 0.4  # inches
COLOURS = {
    "on-policy": "#0072B2",
    "soft": "#56B4E9",
    "half": "#009E73",
    "off-policy": "#D55E00",
    "contrastive": "#CC79A7",
    "other writer": "#E69F00",
    "description": "#000000",
}
BESIDE = {"outputs": ":", "tokens": "--", "exact process": "-."}  # baselines that are drawn beside regimes
CAPTION = (
    "Probes of an event of the next tokens, judged on what a network itself writes against its own exact "
    "p(A); bars are intervals of 95 % over base networks and, where networks are finetuned, D′. Excess is "
    "log loss over the entropy of p(A). a: the last depth, by the number of labels, one a context; the "
    "description needs none. Grey: what is outside of the stream, fitted to exact labels. b: by depth, and "
    "AUC over its ceiling, with the most labels; the share that streams add of what the exact mixed state "
    "leaves. c: finetuned networks, a point a base network (small: the "
    "first dose): labels of the process less those of the network's own, against the share of the shift "
    "that is not in the state; the share of the moves of p(A) that the base network's probe followed; and "
    "the excess of that probe. d: steering, by about one nat that comes out: score against exact "
    "conditioning, nats for an edit as long as the stream, and contexts of the wrong sign."
)


def draw_motor(run: RunFolder) -> list[Path]:
    """A figure for every world, the first named by the study; every line, and every statement, as a table."""
    lines, cells_of = motor_lines(run), worlds(run)
    if not lines:
        return []
    figures: dict[str, Figure | Callable[[], Figure]] = {}
    with style():
        for data, cells in cells_of.items():
            name = f"{run.study}-{data}" if figures else run.study
            figures[name] = figure([line for line in lines if line.data == data], followed(cells))
        return save(run, figures, {run.study: [line.record() for line in lines]})


def figure(lines: Sequence[MotorLine], points: Sequence[Followed]) -> Figure:
    """One world."""
    drawn = Figure(figsize=(WIDTH, HIGH))
    events = list(dict.fromkeys(line.event for line in lines if line.part == "labels"))
    bases = max(line.networks for line in lines if not line.method)
    drawn.text(0.01, 1 - 0.16 / HIGH, f"{lines[0].data}, {bases} base networks", fontsize=8)
    first = _row(drawn, "a", 0, len(events), shared=True)
    for axes, event in zip(first, events, strict=True):
        _by_labels(axes, lines, event)
    _log(*first)
    first[0].set_ylabel("excess (nats)", fontsize=6)
    handles, names = first[0].get_legend_handles_labels()
    drawn.legend(
        handles,
        names,
        fontsize=5.5,
        ncol=11,
        columnspacing=1.2,
        handlelength=1.6,
        loc="upper left",
        bbox_to_anchor=(0.03, 1 - 0.2 / HIGH),
    )
    last = events[-1]
    _inside(_row(drawn, "b", 1, 3), lines, events)
    _tuned(_row(drawn, "c", 2, 3), lines, points, last)
    _steering(_row(drawn, "d", 3, 3), lines, last)
    return drawn


def _row(drawn: Figure, letter: str, row: int, count: int, shared: bool = False) -> list[Axes]:
    """Panels side by side."""
    tall = (HIGH - HEAD) / 4
    top = 1 - (HEAD + 0.17 + tall * row) / HIGH
    drawn.text(0.012, top, letter, fontsize=9, fontweight="bold", va="bottom")
    wide, gap = 0.93 / count, 0.055
    made: list[Axes] = []
    for column in range(count):
        box = (0.065 + wide * column, top - (tall - 0.62) / HIGH, wide - gap, (tall - 0.62) / HIGH)
        made.append(drawn.add_axes(box, sharey=made[0] if shared and made else None))
        made[-1].tick_params(labelsize=5.5)
    return made


def _chosen(lines: Iterable[MotorLine], **columns: object) -> list[MotorLine]:
    return [line for line in lines if all(getattr(line, name) == value for name, value in columns.items())]


def _points(axes: Axes, at: Sequence[float], values: Sequence[Estimate], **looks: object) -> None:
    """Values with their intervals."""
    middle = np.array([value.value for value in values])
    ends = np.array([value.interval or (value.value, value.value) for value in values])
    axes.plot(at, middle, **{"lw": 0.9, "ms": 2.6, "marker": "o", **looks})
    axes.vlines(at, ends[:, 0], ends[:, 1], color=looks["color"], lw=0.6)


def _by_labels(axes: Axes, lines: Sequence[MotorLine], event: str) -> None:
    """Excess by the number of labels, at the last depth."""
    axes.set_title(event, fontsize=6.5, pad=2)
    ours = _chosen(lines, event=event, measure="excess")
    for regime in LABELLED:
        chosen = _chosen(ours, part="labels", source=regime, link="log-odds")
        if chosen:
            at = [line.labels for line in chosen]
            _points(axes, at, [line.value for line in chosen], color=COLOURS[regime], label=regime)
    deepest = max(line.depth for line in lines if line.part == "depth")
    needless = _chosen(ours, part="depth", source="description", link="log-odds", depth=deepest)
    axes.axhline(needless[0].value.value, color=COLOURS["description"], lw=1.1, label="description")
    for name, dashes in BESIDE.items():
        outside = _chosen(ours, part="outside", source=name)[0].value.value
        axes.axhline(outside, color="0.55", ls=dashes, lw=0.8, zorder=0, label=name)
    bounds = {line.measure: line.value.value for line in _chosen(lines, part="bounds", event=event)}
    axes.axhline(bounds["prior"] - bounds["floor"], color="0.8", lw=0.8, zorder=0, label="no probe")
    axes.set_xscale("log", base=2)
    axes.set_xlabel("labels", fontsize=5.5, labelpad=1)


def _log(*panels: Axes) -> None:
    """Logarithmic axes that hold the values, whatever their intervals reach down to."""
    drawn = [np.asarray(line.get_ydata(), float).ravel() for axes in panels for line in axes.lines]
    values = np.concatenate([*drawn, [NEAR]])
    values = values[np.isfinite(values) & (values > 0)]
    for axes in panels:
        axes.set_yscale("log")
        axes.set_ylim(values.min() / 1.6, values.max() * 1.6)
        axes.yaxis.set_minor_formatter(NullFormatter())


def _inside(panels: Sequence[Axes], lines: Sequence[MotorLine], events: Sequence[str]) -> None:
    """By depth; by regime; and what streams tell beyond the exact mixed state."""
    by_depth, by_regime, beyond = panels
    shades = [str(0.65 * (1 - index / max(len(events) - 1, 1))) for index in range(len(events))]
    deepest = max(line.depth for line in lines if line.part == "depth")
    for shade, event in zip(shades, events, strict=True):
        for link, dashes in (("log-odds", "-"), ("probability", ":")):
            chosen = _chosen(
                lines, part="depth", event=event, measure="excess", source="description", link=link
            )
            label = f"{event}, {link}" if event == events[-1] or link == "log-odds" else None
            _points(
                by_depth,
                [line.depth for line in chosen],
                [line.value for line in chosen],
                color=shade,
                ls=dashes,
                label=label,
            )
        ceiling = _chosen(lines, part="bounds", event=event, measure="ceiling")[0].value.value
        auc = _chosen(lines, part="depth", event=event, measure="auc", link="log-odds", depth=deepest)
        scaled = [_scaled(line.value, ceiling) for line in auc]
        at = [REGIMES.index(line.source) for line in auc]
        _points(by_regime, at, scaled, color=shade, ls="none", label=event)
        added = _chosen(lines, part="beyond", event=event)
        _points(
            beyond, [line.depth for line in added], [line.value for line in added], color=shade, label=event
        )
    by_depth.set_title("excess of the description (nats)", fontsize=6.5, pad=2)
    by_regime.set_title("AUC / ceiling", fontsize=6.5, pad=2)
    by_regime.axhline(1, color="0.7", lw=0.8, zorder=0)
    _words(by_regime, REGIMES)
    beyond.set_title("share beyond the exact mixed state", fontsize=6.5, pad=2)
    beyond.axhline(0, color="0.7", lw=0.8, zorder=0)
    for axes in (by_depth, beyond):
        axes.set_xticks(range(deepest + 1))
        axes.set_xlabel("depth (blocks)", fontsize=5.5, labelpad=1)
        axes.legend(fontsize=4.8, handlelength=1.6, labelspacing=0.2)


def _scaled(value: Estimate, by: float) -> Estimate:
    interval = value.interval and (value.interval[0] / by, value.interval[1] / by)
    return Estimate(value.value / by, None, interval)


def _words(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xticks(range(len(names)), [*names], rotation=25, ha="right", fontsize=5)
    axes.set_xlim(-0.5, len(names) - 0.5)


def _tuned(
    panels: Sequence[Axes], lines: Sequence[MotorLine], points: Sequence[Followed], event: str
) -> None:
    """Finetuned networks, for the longest event."""
    cost, share, old = panels
    methods = list(dict.fromkeys(point.method for point in points))
    colours = method_colours(methods)
    doses = sorted({point.dose for point in points})
    for point in points:
        size = 3.4 if point.dose == doses[-1] else 1.6
        looks = {"color": colours[point.method], "marker": "o", "ms": size, "ls": "none", "alpha": 0.7}
        cost.plot(1 - point.state, point.cost, **looks)
        share.plot(point.state, point.followed, **looks)
    share.plot([0, 1], [0, 1], color="0.7", lw=0.8, zorder=0)
    cost.axhline(0, color="0.7", lw=0.8, zorder=0)
    cost.set_title("cost of labels off-policy (nats)", fontsize=6.5, pad=2)
    cost.set_xlabel("1 - state share S", fontsize=5.5, labelpad=1)
    share.set_title("share of the moves that the old probe followed", fontsize=6.5, pad=2)
    share.set_xlabel("state share S", fontsize=5.5, labelpad=1)
    for method in methods:
        looks = {"color": colours[method], "marker": "o", "ms": 3.4, "ls": "none"}
        cost.plot([], [], label=METHODS.get(method, method), **looks)
    cost.legend(fontsize=5, handlelength=1.0)
    limits = np.clip([point.followed for point in points], -1.0, 2.0)
    share.set_ylim(min(-0.1, limits.min() - 0.1), max(1.1, limits.max() + 0.1))
    sources = ("description", "on-policy", "off-policy")
    for index, method in enumerate(methods):
        for part, marker in (("old", "o"), ("new", "s")):
            chosen = [
                _chosen(
                    lines,
                    part=part,
                    event=event,
                    method=method,
                    dose=doses[-1],
                    measure="excess",
                    source=source,
                )[0]
                for source in sources
            ]
            at = np.arange(len(sources)) + 0.16 * index + (0.07 if part == "new" else 0.0) - 0.2
            _points(
                old,
                at.tolist(),
                [line.value for line in chosen],
                color=colours[method],
                marker=marker,
                mfc=colours[method] if part == "old" else "white",
                ls="none",
            )
    _log(old)
    _words(old, sources)
    old.set_title("excess in finetuned networks (nats)", fontsize=6.5, pad=2)
    for face, label in (("0.4", "of the base network"), ("white", "fitted anew")):
        old.plot([], [], "o" if face == "0.4" else "s", color="0.4", mfc=face, ms=2.6, label=label)
    low, high = old.get_ylim()
    old.set_ylim(low, high * (high / low) ** 0.25)  # room for the legend
    old.legend(fontsize=5, handlelength=1.0, ncol=2, loc="upper center")


def _steering(panels: Sequence[Axes], lines: Sequence[MotorLine], event: str) -> None:
    """Steering at both depths, for the longest event."""
    titles = {
        "score": "score against exact conditioning",
        "per norm": "nats for a stream's length",
        "wrong sign": "share of contexts of the wrong sign",
    }
    depths = sorted({line.depth for line in lines if line.part == "steering"})
    for axes, (measure, title) in zip(panels, titles.items(), strict=True):
        for index, depth in enumerate(depths):
            chosen = _chosen(lines, part="steering", event=event, depth=depth, measure=measure)
            at = [VECTORS.index(line.source) + 0.16 * index - 0.08 for line in chosen]
            _points(
                axes,
                at,
                [line.value for line in chosen],
                color=("#0072B2", "#D55E00")[index],
                ls="none",
                label=f"depth {depth}",
            )
        axes.set_title(title, fontsize=6.5, pad=2)
        axes.axhline(1.0 if measure == "score" else 0.0, color="0.7", lw=0.8, zorder=0)
        _words(axes, VECTORS)
    panels[0].set_yscale("symlog", linthresh=1.0)
    panels[1].legend(fontsize=5, handlelength=1.2, loc="upper right")


def motor_findings(run: RunFolder) -> Findings:
    """Statements made beforehand with their verdicts, and the last depth's readings of every event."""
    lines, stated = motor_lines(run), statements(run)
    if not lines:
        return Findings(("Nothing is measured yet.",), (("data",),), CAPTION)
    deepest = max(line.depth for line in lines if line.part == "depth")
    body = [
        (part.data, part.name, part.words, estimate_words(part.value), _allowed(part), part.verdict)
        for part in stated
    ]
    shown = [
        line
        for line in lines
        if line.measure == "excess"
        and (
            (line.part == "depth" and line.link == "log-odds" and line.depth == deepest)
            or line.part == "outside"
        )
    ]
    body += [
        (line.data, line.event, f"excess, {line.source}", estimate_words(line.value), "", "")
        for line in shown
    ]
    slopes = {data: growth(cells, within=True) for data, cells in worlds(run).items()}
    header = "D′", "statement", "measure", "value", "allowed", "verdict"
    return Findings((_sentence(stated), _within(slopes)), (header, *body), CAPTION)


def _within(slopes: Mapping[str, Estimate]) -> str:
    """The sentence on what the statement `shift` is where ways of finetuning are told apart."""
    within = ", ".join(f"{estimate_words(slope)} ({data})" for data, slope in slopes.items())
    return (
        "The slope of `shift` is mostly between ways of finetuning, which differ in more than S; within "
        f"them, which was not stated beforehand, it is {within}."
    )


def _sentence(stated: Sequence[Statement]) -> str:
    if all(statement.value.interval is None for statement in stated):
        return "With one base network nothing has an interval."
    counts = {
        word: [statement for statement in stated if statement.verdict == word]
        for word in ("holds", "refuted", "open")
    }
    named = ", ".join(dict.fromkeys(statement.name for statement in counts["refuted"])) or "none"
    return (
        f"Of {len(stated)} statements made beforehand {len(counts['holds'])} hold by their whole interval "
        f"and {len(counts['refuted'])} are refuted ({named})."
    )


def _allowed(statement: Statement) -> str:
    low, high = statement.allows
    if np.isinf(low):
        return f"at most {number(high)}"
    return f"at least {number(low)}" if np.isinf(high) else f"{number(low)} to {number(high)}"
