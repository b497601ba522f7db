"""The page opens with the answer, follows the numbers, loses nothing, and needs nothing outside itself."""

import re
from dataclasses import replace
from html import escape, unescape

import pytest

from experiments.discovery import Catalogue
from experiments.reports import html, markup, pictures
from experiments.storage.files import write_json
from experiments.storage.manifests import NetworkQuality, Quality
from experiments.storage.records import Cell, Row
from experiments.storage.run_folder import create

STUDY = "weird-generalisation"


def _row(theory, nats, dose, grade="fitted", base=0):
    return Row(
        study=STUDY,
        method="sgd",
        data="topics0",
        base=base,
        dose=dose,
        theory=theory,
        prior="network",
        grade=grade,
        split=None,
        group="held_out",
        beta=None,
        nats=(nats,) * 2,
        shift=(0.1,) * 2,
        replica=(0.001,) * 2,
        other_base=None,
        best_in_class=(nats,) * 2,
        converged=None,
    )


def _run(folder, rows=(), config=None, study=STUDY):
    """A run of these rows at two base networks, beside the theory that nothing changed."""
    run = create(folder, {"study": study, "preset": "smoke", "config": config or {}}, {"commit": None})
    if rows:
        nothing = [_row("unchanged", 0.1, dose, "forecast") for dose in sorted({row.dose for row in rows})]
        run.save_rows([replace(row, base=base) for row in [*nothing, *rows] for base in range(2)])
    return run


def _draw(run, *names):
    figures = run.folder / "figures"
    figures.mkdir()
    for name in names:
        (figures / f"{name}.png").write_bytes(b"picture of " + name.encode())


def test_an_indented_paragraph_of_a_docstring_keeps_its_lines():
    assert markup.paragraph("    one    1\n    two    2") == "<pre>one    1\ntwo    2</pre>"
    assert markup.paragraph("One\n    two.") == "<p>One\n    two.</p>"


def test_the_page_stands_alone_and_follows_the_table(tmp_path):
    pages = []
    for index, (good, bad) in enumerate([(0.01, 0.05), (0.05, 0.01)]):
        rows = [_row("proximal", good, 1), _row("geometric-path", bad, 1)]
        run = _run(tmp_path / str(index), rows)
        run.fail(Cell("finetuned", "topics0", 0, "adam"), "<b>diverged</b> & lost")
        _draw(run, STUDY)
        pages.append(html.write_report(run).read_text())
    assert "best is proximal" in pages[0] and "best is geometric-path" in pages[1]
    assert "explained best by <strong>proximal</strong> (fitted), 0.900" in pages[0]
    assert "explained best by <strong>geometric path</strong> (fitted), 0.900" in pages[1]
    assert "data:image/png;base64," in pages[0]
    assert not re.search(r"https?:|src=\"(?!data:)|<link|<script", pages[0])
    assert "&lt;b&gt;diverged&lt;/b&gt; &amp; lost" in pages[0] and "<b>" not in pages[0]


def test_the_head_says_how_much_inference_was_learnt(tmp_path):
    wanted = {"pretraining": {"until_learnt": 0.99}}
    run = _run(tmp_path, [_row("proximal", 0.01, 1)], wanted)
    quality = Quality((NetworkQuality(0, 0.01, 0.1, (0.0, 0.02), 0.5, (0.0, 1.0), 70),))
    write_json(run.folder / "networks.json", quality.to_json())
    opening, remaining = html.write_report(run).read_text().split("About this study")
    assert (
        "Of inference the base networks have learnt 0.980. 0.99 was wanted, and not reached in 70" in opening
    )
    assert "<td>–</td>" in remaining and "<td>0.980</td>" in remaining


def test_question_answer_figure_and_table_come_before_everything_else(tmp_path):
    run = _run(tmp_path, [_row("proximal", 0.01, 1)])
    _draw(run, STUDY, f"{STUDY}-summary", f"{STUDY}-groups")
    text = html.write_report(run).read_text()
    opening, remaining = text.split("<div class=pictures>")
    wanted = [
        "<h1>Does a network",
        "explained best by",
        "<img",
        "order-blind bound</td>",
        "proximal<small>fitted",
    ]
    places = [opening.index(words) for words in wanted]
    assert places == sorted(places) and opening.count("<img") == 1
    assert escape(pictures.CAPTIONS["-summary"]) in opening
    assert "<details" not in opening and remaining.count("<img") == 2


def test_all_but_the_opening_is_folded_and_nothing_is_lost(tmp_path):
    run = _run(tmp_path, [_row("proximal", 0.01, dose) for dose in (1, 2)], {"network": {"width": 24}})
    run.fail(Cell("finetuned", "topics0", 0, "adam"), "It diverged.")
    text = html.write_report(run).read_text()
    titles = re.findall(r"<details class=section><summary><h2>(.*?)</h2></summary>", text)
    assert titles == [
        *("About this study", "Findings", "Warnings: the best forecast and the most misleading", "Scorecard"),
        *("Failed cells", "Base networks", "How to reproduce", "Config", "Environment"),
    ]
    about = Catalogue().load("studies", STUDY).__doc__.partition("\n")[2].strip()
    assert escape(about) in text and "not sealed before the finetuning" in text
    assert html.WARNED in text and "All 4 lines" in text and "width" in text and "commit" in text
    assert all(escape(meaning) in text for meaning in html.COLUMNS.values())


def test_every_figure_has_a_caption(tmp_path):
    run = _run(tmp_path)
    _draw(run, STUDY, f"{STUDY}-groups", f"{STUDY}-posteriors", "heat-map", "heat-map-2", "other")
    found = re.findall("<figcaption.*?>(.*?)</figcaption>", html.write_report(run).read_text())
    known = pictures.CAPTIONS
    wanted = [
        known[""],
        known["-groups"],
        known["-posteriors"],
        known["heat-map"],
        known["heat-map"],
        "other",
    ]
    assert found == [escape(caption) for caption in wanted]


def test_each_figure_is_there_once_and_the_first_one_opens_in_full(tmp_path):
    run = _run(tmp_path)
    names = [STUDY, f"{STUDY}-summary", f"{STUDY}-groups", "other"]
    _draw(run, *names)
    text = html.write_report(run).read_text()
    images = re.findall(r"<img[^>]*base64,([^\"]*)\"", text)
    assert len(images) == len(set(images)) == len(names)
    assert '<figure id=figure><a class=close href="#">' in text and '<a href="#figure"' in text


def test_a_page_of_a_run_that_has_only_begun(tmp_path):
    text = html.write_report(_run(tmp_path / "run")).read_text()
    assert "Nothing is scored yet." in text and "unfinished" in text and "Not measured yet." in text
    assert "Nothing is drawn yet." in text


def test_a_theory_without_a_look_of_its_own_is_named_and_marked(tmp_path):
    run = _run(tmp_path, [_row("mine-<i>", 0.01, 1), _row("proximal", 0.02, 1)])
    text = html.write_report(run).read_text()
    assert "mine &lt;i&gt;<small>fitted</small>" in text and "<i>" not in text
    assert "mine <i> (fitted), 0.900" in unescape(text).replace("<strong>", "").replace("</strong>", "")


@pytest.mark.parametrize("rule", ["@media print", "@media (max-width"])
def test_the_page_can_be_printed_and_is_laid_out_for_narrow_windows(rule):
    assert rule in markup.CSS


def test_a_notebook_shows_the_opening_alone(tmp_path):
    run = _run(tmp_path, [_row("proximal", 0.01, 1)])
    _draw(run, f"{STUDY}-summary", f"{STUDY}-groups")
    text = html.summary_html(run)
    assert "Does a network" in text and "explained best by" in text and "order-blind bound</td>" in text
    assert text.count("<img") == 1 and "<details" not in text and "<body" not in text
