"""A row a test of the inside: translation, sufficiency, calibration, code, old probes, factors. No jax."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from experiments.figures.panel_rows import COLOURS, OTHERS, Panel, Series, panel_rows
from experiments.figures.style import save, style
from experiments.scoring.findings import Findings
from experiments.scoring.inside import TESTS, InsideLine, inside_lines
from experiments.scoring.labels import METHODS, number, number_with_interval
from experiments.storage.inside_cell import CODES, FACTORS, FEATURES, FORETOLD, READ, VECTORS
from experiments.storage.run_folder import RunFolder

STYLES = ("-", "--", ":", "-.")
SUFFICIENCY = (*VECTORS, "twin")
CAPTION = (
    "A row a test, with intervals of 95 % over base networks and D′; depth counts blocks; the finetuned "
    "networks are those of the last dose. Grey line: what a theory says by which D′ moves the weights of "
    "hypotheses and nothing else. T1: the base network's probe before and after finetuning; spread, and that "
    "between networks which met D′ in two orders (twin), in units of the shift. T2: the share of the shift "
    "that a constant vector after the first block, or the other order, makes elsewhere. T3, T4: the base "
    "network steered along the probe's pattern. T5: information up to one constant, and slopes of the base "
    "network's probe. T6: what a factored code lacks. T7: the share of the shift of the belief, as the base "
    "network's probe reads it elsewhere, that a theory explains, any constant shift, or the linearised one."
)


def draw_inside(run: RunFolder) -> list[Path]:
    """A figure for every world, the first named by the study, and every line as a table."""
    lines = inside_lines(run)
    if not lines:
        return []
    figures: dict[str, Figure | Callable[[], Figure]] = {}
    with style():
        for data in dict.fromkeys(line.data for line in lines):
            name = f"{run.study}-{data}" if figures else run.study
            figures[name] = figure([line for line in lines if line.data == data])
        return save(run, figures, {run.study: [line.record() for line in lines]})


def figure(lines: Sequence[InsideLine]) -> Figure:
    """One world."""
    networks = max(line.networks for line in lines if not line.method)
    rows = {f"{test}\n{TESTS[test]}": panels for test, panels in rows_of(lines).items()}
    return panel_rows(f"{lines[0].data}, {networks} base networks", rows)


def rows_of(lines: Sequence[InsideLine]) -> dict[str, list[Panel]]:
    """The panels of every test that was measured."""
    last = max(line.dose for line in lines)
    methods = list(dict.fromkeys(line.method for line in lines if line.method))

    def chosen_lines(test: str, measure: str, method: str = "") -> list[InsideLine]:
        """By depth, of the last dose."""
        return [
            line
            for line in lines
            if (line.test, line.measure, line.method) == (test, measure, method) and line.dose in (0, last)
        ]

    def by_depth(test: str, measures: Sequence[str], names: Sequence[str] = methods) -> list[Series]:
        made = []
        for style_, measure in zip(STYLES, measures, strict=False):
            for index, method in enumerate(names):
                chosen = chosen_lines(test, measure, method)
                label = " ".join(
                    filter(None, (METHODS.get(method, method), measure if len(measures) > 1 else ""))
                )
                colour = COLOURS.get(method, OTHERS[index % len(OTHERS)])
                made.append(
                    Series(
                        label.replace("_", " ") or "base",
                        [line.depth for line in chosen],
                        [line.value for line in chosen],
                        colour,
                        style_,
                    )
                )
        return [series for series in made if series.values]

    sufficiency = [
        Series(
            METHODS.get(method, method),
            range(len(SUFFICIENCY)),
            [chosen_lines("T2", name, method)[0].value for name in SUFFICIENCY],
            COLOURS.get(method, OTHERS[index % len(OTHERS)]),
            "",
        )
        for index, method in enumerate(methods)
    ]
    deepest = max(line.depth for line in lines)
    baselines = [
        Series(
            code,
            range(len(FEATURES)),
            [
                line.value
                for feature in FEATURES
                for line in chosen_lines("T4", f"{code}: {feature}")
                if line.depth == deepest
            ],
            OTHERS[index],
            "",
        )
        for index, code in enumerate(CODES)
    ]
    baselines = [series for series in baselines if series.values]
    rows = {
        "T1": [
            Panel("slope", by_depth("T1", ["slope"]), 1.0),
            Panel("spread / shift", by_depth("T1", ["spread", "twin"]), 0.0),
            Panel("nats gained by D′'s hypothesis", by_depth("T1", ["target"])),
        ],
        "T2": [
            Panel("C, elsewhere", sufficiency, 1.0, SUFFICIENCY, ""),
        ],
        "T3": [
            Panel("nats out / nats in", by_depth("T3", ["slope", "slope, own position"], [""]), 1.0),
            Panel("spread over contexts", by_depth("T3", ["spread", "spread, own position"], [""]), 0.0),
            Panel("share of the wrong sign", by_depth("T3", ["wrong", "wrong, own position"], [""]), 0.0),
        ],
        "T4": [
            Panel("I of streams", by_depth("T4", [f"{code}: streams" for code in CODES], [""])),
            Panel(f"I at depth {deepest}", baselines, None, FEATURES, ""),
            Panel("variation, steered", by_depth("T4", ["of_log_odds", "of_probability"], [""])),
        ],
        "T5": [
            Panel("I, up to a constant", by_depth("T5", ["old", "refitted"])),
            Panel("slope: exact", by_depth("T5", ["slope: exact"], ["", *methods])),
            Panel("slope: own answers", by_depth("T5", ["slope: outputs"], ["", *methods])),
        ],
        "T6": [
            Panel("R² beyond factors", by_depth("T6", FACTORS[:2], [""])),
            Panel("dimensions for 95 %", by_depth("T6", ["dimensions"], [""])),
            Panel("angle (degrees)", by_depth("T6", ["angle"], [""])),
        ],
        "T7": [
            Panel("over hypotheses", by_depth("T7", READ[2:4]), 1.0),
            Panel("of the network", by_depth("T7", FORETOLD), 1.0),
            Panel(READ[-1], by_depth("T7", READ[-1:]), 1.0),
        ],
    }
    return {test: panels for test, panels in rows.items() if any(panel.series for panel in panels)}


def inside_findings(run: RunFolder) -> Findings:
    """Counts of what is refuted, and a table: all of which Bayes says something, codes, and factors."""
    lines = inside_lines(run)
    if not lines:
        return Findings(("Nothing is measured yet.",), (("test",),), CAPTION)
    last, deepest = max(line.dose for line in lines), max(line.depth for line in lines)
    shown = [
        line
        for line in sorted(lines, key=lambda line: (line.data, line.test))
        if line.dose in (0, last)
        and (line.bayes is not None or line.test in ("T3", "T6") or line.depth in (0, deepest))
        and "in sample" not in line.measure
    ]
    judged = [line for line in shown if line.judged]
    refuted = [line for line in judged if line.refuted]
    body = [
        (
            line.data,
            f"{line.test} {TESTS[line.test]}",
            METHODS.get(line.method, line.method) or "base",
            str(line.depth) if line.depth else "",
            line.measure.replace("_", " "),
            number_with_interval(line.value.value, line.value.interval),
            number(line.bayes) if line.bayes is not None else "",
        )
        for line in shown
        if not line.measure.startswith("probability:") or line.measure == "probability: streams"
    ]
    return Findings(
        (_sentence(judged, refuted),),
        (("D′", "test", "networks", "depth", "measure", "value", "Bayes"), *body),
        CAPTION,
    )


def _sentence(judged: Sequence[InsideLine], refuted: Sequence[InsideLine]) -> str:
    """A sentence: so many statements are refuted, by test."""
    if all(line.value.interval is None for line in judged):
        return "With one base network, or one D′, nothing has an interval."
    counts = [
        f"{test} {TESTS[test]} {sum(line.test == test for line in refuted)} of "
        f"{sum(line.test == test for line in judged)}"
        for test in TESTS
        if any(line.test == test for line in judged)
    ]
    return (
        "By its whole interval, so many measures are off what a moved belief, and nothing else, would give "
        f"(over methods and depths): {'; '.join(counts)}."
    )
