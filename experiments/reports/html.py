"""The report: one static report.html that opens with question, answer, figure and table of a run. No jax.

Everything else is folded below, each figure behind a preview of itself.
"""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from experiments.design.study import Study, StudyRun
from experiments.reports import table
from experiments.reports.command import command_line
from experiments.reports.markup import CSS, bullets, folded, html_table, page, paragraph, section, soft
from experiments.reports.pictures import first, folded_figures
from experiments.reports.score_table import MANY, score_table
from experiments.reports.sentences import COLUMNS, cells, findings, selection, warned
from experiments.reports.state import caveats
from experiments.reports.summary import answer, last_scores, on_target, theories, words
from experiments.scoring import convex_hull, inference, learnt, residuals, rows, sizes
from experiments.scoring.convergence import COLUMNS as DIAGNOSTICS
from experiments.scoring.convergence import ChainNote, ConvergenceReport, convergence_report
from experiments.scoring.labels import panel_name
from experiments.scoring.lacking import lacking
from experiments.scoring.scorecard import scorecard
from experiments.storage.files import write_text
from experiments.storage.makers import unlike_makers
from experiments.storage.records import IMPORTED, UNSCORED, Json, ScoreLine
from experiments.storage.run_folder import REPORT, RunFolder
from experiments.storage.seal import check

WARNED = (
    "Forecasts: no fitted number, nothing but the base network, D′, the optimiser and its steps. Scores are "
    "of the first group of contexts that theories are judged on (held_out, where there is one)."
)


def write_report(run: RunFolder) -> Path:
    """Write report.html from what is on disk, also of an unfinished run; returns its path."""
    path = run.folder / REPORT
    write_text(path, _page(run, scorecard(rows.table(run))))
    return path


def _page(run: RunFolder, lines: list[ScoreLine]) -> str:
    question, about = _question(run)
    is_scored = bool(lines) or not any(map(run.cells, UNSCORED))
    converged, unlike = convergence_report(run), unlike_makers(run.folder)
    return page(
        question,
        [
            f'<p class="soft small">{escape(_state(run))}</p>',
            f"<h1>{escape(question)}</h1>",
            *([f"<p class=banner>{escape(converged.sentence)}</p>"] if converged.sentence else []),
            *_opening(run, lines),
            folded_figures(run),
            section(
                "About this study", [*map(paragraph, _paragraphs(about)), *[soft(_sealed(run))] * is_scored]
            ),
            section("How much of D′ was learnt", _learnt(run)),
            section("Findings", _findings(run, lines) if is_scored else []),
            section("Warnings: the best forecast and the most misleading", _warnings(lines) * is_scored),
            section("Scorecard", _scorecard(lines) if is_scored else []),
            section("Sizes of shifts", _sizes(run)),
            section("Inside the hull of the hypotheses?", _hull(run, lines)),
            section("Where the best forecast errs", _residuals(run, lines)),
            section("Convergence of the chains", _chains(converged)),
            section("Failed cells", _failures(run)),
            section("Base networks", _networks(run)),
            section("How to reproduce", [f"<pre>{escape(_command(run))}</pre>"]),
            section("Config", [_fields(run.options)]),
            section("Environment", [_fields(run.environment)]),
            section("Cells that were made elsewhere", [bullets(unlike)] if unlike else []),
        ],
    )


def summary_html(run: RunFolder) -> str:
    """Question, answer, figure and small table alone, for a notebook."""
    opening = "".join(_opening(run, scorecard(rows.table(run))))
    style = f"<style>.finebayes {{ {CSS.replace(':root', '&')} }}</style>"
    return f"<div class=finebayes>{style}<h3>{escape(_question(run)[0])}</h3>{opening}</div>"


def _question(run: RunFolder) -> tuple[str, str]:
    """First line of the study's docstring, and what follows."""
    question, _, about = (Study.of(run).module.__doc__ or run.study).strip().partition("\n")
    given = run.options.get("sidecar", {}).get("question")  # of an imported table
    return given or question, about


def _opening(run: RunFolder, lines: list[ScoreLine]) -> list[str]:
    """Answer, figure and small table: all that is seen without scrolling."""
    findings = Study.of(run).findings(run)
    if findings:
        words_of = [*caveats(run), *lacking(run), *findings.sentences]
        sentences = "".join(f"<p>{escape(sentence)}</p>" for sentence in words_of)
        parts = f"<div class=answer>{sentences}</div>{first(run, findings.caption)}"
        return [f'<div class="first wide">{parts}</div>', html_table(findings.table)]
    scored = last_scores(lines)
    names = "|".join(re.escape(escape(words(theory))) for theory, _ in theories(scored))
    words_of = [*caveats(run), *answer(scored, on_target(run, lines))]
    sentences = "".join(f"<p>{escape(sentence)}</p>" for sentence in words_of)
    sentences = re.sub(rf"\b({names})(?= \()", r"<strong>\1</strong>", sentences) if names else sentences
    wide = " wide" if len(scored) > MANY else ""
    sentences += _inference_line(run) + _learnt_line(run)
    parts = f"<div class=answer>{sentences}</div>{first(run)}{score_table(scored)}"
    return [f'<div class="first{wide}">{parts}</div>']


def _command(run: RunFolder) -> str:
    if run.study != IMPORTED:
        return command_line(StudyRun.of(run))
    return " ".join(["finebayes import TABLE", *(f"--with {entry.file}" for entry in run.config.files)])


def _state(run: RunFolder) -> str:
    done = (run.folder / "DONE").exists()
    state = "finished" if done else "unfinished: what follows is from the finished cells"
    counts = f"{len(run.cells())} cells done, {len(run.failures())} failed, run {state}"
    return f"{run.study}, preset {run.config.preset}. {counts}."


def _paragraphs(text: str) -> list[str]:
    return [part for part in text.strip("\n").split("\n\n") if part]


def _sealed(run: RunFolder) -> str:
    """When the forecasts were made, and when the finetuning that they are scored on."""
    sealed = check(run)
    if sealed is None:
        return "The forecasts were not sealed before the finetuning (finebayes forecast)."
    what = "the finetuned rows were imported" if run.study == IMPORTED else "finetuning began"
    began = f"{what} on {sealed.began}" if sealed.began else "nothing has been finetuned yet"
    return f"{sealed.cells} cells of forecasts were sealed on {sealed.made} (seal {sealed.hash}); {began}."


def _findings(run: RunFolder, lines: list[ScoreLine]) -> list[str]:
    parts = [
        f"<h3>{escape(title)}</h3>{bullets(sentences)}"
        for title, sentences in findings(lines, _ends(run)).items()
    ]
    return parts or ["<p>Nothing is scored yet.</p>"]


def _warnings(lines: list[ScoreLine]) -> list[str]:
    return [soft(WARNED), bullets(warned(lines))]


def _scorecard(lines: list[ScoreLine]) -> list[str]:
    return [
        html_table(cells(selection(lines), False), "tight"),
        folded(f"All {len(lines)} lines", html_table(cells(lines, True), "tight")),
        folded("Columns", html_table([["column", "meaning"], *map(list, COLUMNS.items())])),
    ]


def _inference_line(run: RunFolder) -> str:
    """A line on how much the base networks have learnt of inference."""
    wanted = run.options.get("pretraining", {}).get("until_learnt")
    text = inference.sentence(run.quality(), inference.by_group(run), wanted)
    return f'<p class="soft small">{escape(text)}</p>' if text else ""


def _learnt_line(run: RunFolder) -> str:
    """A line on what was learnt of D' at the last dose, and what a null could learn."""
    shares = []
    for entry in learnt.learnt(run):
        if entry.null is not None and entry.networks[-1] is not None:
            name = panel_name(entry.method, entry.data).replace(", D′ on ", " on ")
            shares.append(
                f"{100 * entry.networks[-1]:.0f} % by {name} (a null could {100 * entry.null:.0f} %)"
            )
    text = f"Of D′ is learnt: {'; '.join(shares)}."
    return f'<p class="soft small">{escape(text)}</p>' if shares else ""


def _learnt(run: RunFolder) -> list[str]:
    """Of D' itself, by networks and by the best null, and what theories could use of it."""
    every = learnt.learnt(run)
    parts = [soft(learnt.ABOUT), html_table(learnt.table(every), "tight")] if every else []
    notes = learnt.notes(run)
    return [*parts, *([bullets(notes)] if notes else [])]


def _sizes(run: RunFolder) -> list[str]:
    """Sizes of shifts, forecast by theories and by a yardstick."""
    lines = sizes.sizes(rows.table(run))
    return [soft(sizes.ABOUT), html_table(sizes.table(lines), "tight")] if lines else []


def _hull(run: RunFolder, lines: list[ScoreLine]) -> list[str]:
    distances = convex_hull.hull(run, lines)
    return [soft(convex_hull.ABOUT), html_table(convex_hull.table(distances), "tight")] if distances else []


def _residuals(run: RunFolder, lines: list[ScoreLine]) -> list[str]:
    """Errors of the best forecast, for every method and D'; empty without one."""
    parts = []
    errors = residuals.where(run, lines)
    for panel in errors:
        captioned = panel.tables.items()
        tables = [f"<h3>{escape(caption)}</h3>{html_table(entry, 'tight')}" for caption, entry in captioned]
        parts.append(folded(f"{panel.name}: {panel.theory}", "".join(tables)))
    sentences = [f"<p>{escape(sentence)}</p>" for sentence in residuals.sentences(errors)]
    return [*sentences, soft(residuals.ABOUT), *parts] if errors else []


def _chains(converged: ConvergenceReport) -> list[str]:
    """Diagnostics of the sampled posteriors; empty where nothing was sampled."""
    if not converged.table:
        return []
    problems, steps = converged.problems, converged.steps
    return [
        html_table(converged.table, "tight"),
        html_table([["column", "meaning"], *map(list, DIAGNOSTICS.items())]),
        folded(f"{len(problems)} posteriors that have not converged", _notes(problems, "problem")),
        folded("Step sizes and their reasons", _notes(steps, "tuning of the step size")),
    ]


def _notes(notes: Sequence[ChainNote], title: str) -> str:
    body = [[note.cell, note.theory, f"{note.time:g}", note.text] for note in notes]
    return html_table([["cell", "theory", "τ", title], *body])


def _failures(run: RunFolder) -> list[str]:
    reasons = [[cell.name, reason] for cell, reason in run.failures().items()]
    return [html_table([["cell", "reason"], *reasons])] if reasons else []


def _networks(run: RunFolder) -> list[str]:
    quality, imported = run.quality(), table.facts(run)
    if imported is not None:
        tables = table.facts_table(imported), table.resolution_table(imported)
        parts = [html_table(part, "tight") for part in tables if part]
        return [soft(table.ABOUT), *parts, bullets(imported.notes)]
    if quality is None:
        return ["<p>Not measured yet.</p>"]
    by_group = inference.by_group(run)
    groups = [["contexts", "learnt"], *([name, inference.words(value)] for name, value in by_group.items())]
    tables = inference.table(quality), groups, inference.positions(quality)
    return [soft(inference.ABOUT), *(html_table(part, "tight") for part in tables)]


def _ends(run: RunFolder) -> dict[str, float]:
    """The largest β on each theory's ladder, by theory/prior."""
    contents = [run.posteriors(cell) for cell in run.cells(kind="posteriors")[:1]]
    contents += [run.theories(cell) for cell in run.cells(kind="theories")[:1]]
    ladders = [ladder for content in contents if content for ladder in content.ladders]
    return {ladder.name: float(ladder.betas.max()) * (1 - 1e-5) for ladder in ladders}


def _fields(values: Json) -> str:
    return html_table([["field", "value"], *([key, _value(value)] for key, value in values.items())])


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(part)}" for key, part in value.items())
    if isinstance(value, list):
        return "  ".join(map(_value, value))
    return "-" if value is None or value == "" else str(value)
