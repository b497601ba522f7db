"""The words and tables follow the numbers, whatever they are, and the page needs nothing outside itself."""

import re

import numpy as np
import pytest

from experiments.reports import html as report
from experiments.scoring import labels as words
from experiments.storage.run_folder import create

STUDY = "weird-generalisation"


def _line(theory, explained, dose=4, grade="fitted", group="held_out", **changes):
    line = {
        "study": STUDY,
        "method": "sgd",
        "data": "topics0",
        "dose": dose,
        "theory": theory,
        "prior": "network",
        "grade": grade,
        "group": group,
        "explained": explained,
        "standard_error": 0.01,
        "floor": 0.99,
        "seed_floor": None,
        "ceiling": 0.97,
        "nats": 0.01,
        "shift": 0.1,
        "beta": 1.0,
        "seeds": 4,
    }
    return line | changes


def _words(lines, **known):
    return "\n".join(sentence for said in words.findings(lines, **known).values() for sentence in said)


def _row(theory, nats, dose, grade="fitted"):
    names = ("study", "method", "data", "base", "dose", "theory", "prior", "grade", "group", "beta", "seed")
    row = dict(
        zip(
            names,
            (STUDY, "sgd", "topics0", 0, dose, theory, "network", grade, "held_out", None, None),
            strict=True,
        )
    )
    return row | {"nats": [nats], "shift": [0.1], "order": [0.001], "ceiling": [nats]}


def _run(folder, rows=(), config=None, study=STUDY):
    results = create(folder, {"study": study, "preset": "smoke", "config": config or {}}, {"commit": None})
    if rows:
        results.save_rows(list(rows))
    return results


def test_who_would_have_warned():
    good = _line(theory="linearised", grade="forecast", explained=0.97, data="a")
    part = good | {"data": "b", "explained": 0.6}
    none = good | {"data": "c", "explained": 0.2}
    wrong = part | {"theory": "tempered-posterior", "explained": -3.0}
    fitted = none | {"theory": "proximal", "grade": "fitted", "explained": 0.99}
    hole = good | {"data": "d", "explained": None}
    first, second, third, fourth = words.warned([good, part, wrong, none, fitted, hole])
    assert "linearised would have warned, 0.97" in first and "misled" not in first
    assert "linearised would have warned of most of it, 0.6" in second
    assert "tempered-posterior would have misled, -3" in second
    assert "nobody would have warned; the best forecast is linearised, 0.2" in third
    assert "no forecast has a score" in fourth


def test_an_indented_paragraph_of_a_docstring_keeps_its_lines():
    assert report._paragraph("    one    1\n    two    2") == "<pre>one    1\ntwo    2</pre>"
    assert report._paragraph("One\n    two.") == "<p>One\n    two.</p>"


@pytest.mark.parametrize(
    ("first", "second"), [("proximal", "geometric-path"), ("geometric-path", "proximal")]
)
def test_the_winner_is_the_theory_with_the_best_score(first, second):
    words = _words([_line(first, 0.9), _line(second, 0.4)])
    assert f"best is {first} (fitted), 0.900 ± 0.010, below the noise floor 0.990" in words
    assert f"next {second} (fitted), 0.400" in words


def test_a_score_near_the_noise_floor_is_called_so():
    assert "within two s.e. of the noise floor" in _words([_line("proximal", 0.98)])
    assert ", above the noise floor" in _words([_line("proximal", 0.995)])
    assert "no theory beats “nothing changed”" in _words([_line("proximal", -0.4)])


def test_a_forecast_is_followed_to_the_dose_where_it_fails():
    scores = {1: 0.99, 2: 0.97, 4: 0.7}
    lines = [_line("linearised", score, dose, "forecast") for dose, score in scores.items()]
    assert "0.95 or more at 2 of 3 doses; it first falls below that at dose 4, to 0.700" in _words(lines)
    assert "3 of 3 doses." in _words([line | {"explained": 0.96} for line in lines])
    assert "0 of 3 doses; its best is 0.500" in _words([line | {"explained": 0.5} for line in lines])


def test_a_class_is_refuted_by_its_ceiling_and_a_theory_by_its_score():
    words = _words([_line("proximal", 0.9), _line("linear-mixture", -0.2, ceiling=0.5)])
    assert "Refuted as a class (even its best member stays below 0.9): linear-mixture at dose 4" in words
    assert "Worse than “nothing changed” by more than two s.e.: linear-mixture (fitted)" in words
    assert "Refuted" not in _words([_line("proximal", 0.4, ceiling=0.95)])
    assert "Refuted" not in _words([_line("proximal", 0.4, ceiling=0.8, floor=0.7)])


def test_a_strength_at_the_end_of_its_range_is_named():
    lines = [_line("proximal", 0.9, beta=3.0)]
    assert "end of the range that was tried: proximal" in _words(lines, ends={"proximal/network": 3.0})
    assert "end of the range" not in _words(lines, ends={"proximal/network": 4.0})


def test_undefined_scores_are_named_and_nothing_fails_on_missing_numbers():
    holes = dict.fromkeys(("explained", "standard_error", "floor", "seed_floor", "ceiling", "beta"))
    lines = [_line("proximal", None, 1, **{k: v for k, v in holes.items() if k != "explained"})]
    lines += [_line("proximal", 0.9, 4, standard_error=None), _line("proximal", None, group="in_domain")]
    said, table = _words(lines), words.scorecard_text(lines, everything=True)
    assert "Undefined on held_out contexts at dose 1" in said
    assert "undefined" in table and "fitted here" in table
    assert "no theory has a score" in _words(lines[:1])


def test_the_table_is_aligned_and_sorted_and_chooses_three_doses():
    lines = [_line("proximal", 0.1, dose) for dose in (1, 2, 4, 8, 16)]
    lines += [_line("geometric-path", 0.5, dose) for dose in (1, 2, 4, 8, 16)]
    head, *body = words.scorecard_text(lines).splitlines()
    assert [row[head.index("dose") :].split()[0] for row in body] == ["1", "1", "4", "4", "16", "16"]
    assert [row[head.index("theory") :].split()[0] for row in body[:2]] == ["geometric-path", "proximal"]
    assert len(words.scorecard_text(lines, everything=True).splitlines()) == 11
    assert words.scorecard_text([]) == "Nothing is scored yet."


def test_the_page_stands_alone_and_follows_the_table(tmp_path):
    pages = []
    for index, (good, bad) in enumerate([(0.01, 0.05), (0.05, 0.01)]):
        rows = [_row("proximal", good, 1), _row("geometric-path", bad, 1)]
        results = _run(tmp_path / str(index), rows)
        results.fail("adam-topics0-0", "<b>diverged</b> & lost")
        (results.folder / "figures").mkdir()
        (results.folder / "figures" / f"{STUDY}.png").write_bytes(b"picture")
        pages.append(report.write_report(results).read_text())
    assert "best is proximal" in pages[0] and "best is geometric-path" in pages[1]
    assert "data:image/png;base64," in pages[0]
    assert not re.search(r"https?:|src=\"(?!data:)|<link|<script", pages[0])
    assert "&lt;b&gt;diverged&lt;/b&gt; &amp; lost" in pages[0] and "<b>" not in pages[0]


def test_every_figure_has_a_caption(tmp_path):
    results = _run(tmp_path)
    figures = results.folder / "figures"
    figures.mkdir()
    for name in (STUDY, f"{STUDY}-groups", f"{STUDY}-posteriors", "heat-map", "heat-map-2", "other"):
        (figures / f"{name}.png").write_bytes(b"picture")
    found = re.findall("<figcaption>(.*?)</figcaption>", report.write_report(results).read_text())
    known = report.CAPTIONS
    wanted = [
        known["heat-map"],
        known["heat-map"],
        "other",
        known[""],
        known["-groups"],
        known["-posteriors"],
    ]
    assert found == [report.escape(caption) for caption in wanted]


def test_a_page_of_a_run_that_has_only_begun(tmp_path):
    text = report.write_report(_run(tmp_path / "run")).read_text()
    assert "Nothing is scored yet." in text and "unfinished" in text and "Not measured yet." in text


def test_the_command_names_the_preset_and_what_differs_from_it():
    presets = report.study.load(STUDY).PRESETS
    preset = report.json.loads(report.json.dumps(report.dataclasses.asdict(presets["smoke"])))
    config = {"study": STUDY, "preset": "smoke", "config": preset}
    assert report.command(config, presets) == f"finebayes run {STUDY} --preset smoke"
    changed = {"fresh": True, "doses": [1, 2], "finetuned_topics": ["0", "1,2"], "seed": 3}
    config["config"] = {key: preset[key] for key in preset if key not in changed} | changed
    said = report.command(config, presets)
    assert "--fresh" in said and "--doses 1 2" in said and said.endswith("--finetuned-topics 0 1,2 --seed 3")
    assert "--preset" not in report.command({**config, "preset": "gone"}, presets)


def test_numbers_close_to_one_are_not_rounded_to_it():
    assert words.number(0.9998) == "0.9998" and words.number(1.0) == "1.000"
    assert words.number(np.nan) == "-" and words.number(-4308.2) == "-4308"
