"""What a user types at `finebayes sweep`, and what a mistake is answered with: before anything runs."""

from types import SimpleNamespace

import pytest

from experiments import cli
from experiments.design.study import Study
from experiments.reports.sweep import scores_with
from experiments.scoring.sweep_curves import HEADER

RUN = ["sweep", "weird-generalisation", "--preset", "smoke"]


def refused(capsys, *arguments, status=1):
    """The one sentence with which a command is refused."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(map(str, arguments)))
    printed = capsys.readouterr()
    assert stopped.value.code == status and printed.out == ""
    assert printed.err.startswith("finebayes: ") and printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["sweep", "weird-generalization", "--over", "style=1"], "did you mean weird-generalisation?"),
        (["sweep", "--over", "style=1"], "Name the study first"),
        (RUN, "A sweep needs an axis; write FIELD=VALUE,VALUE"),
        ([*RUN, "--over", "widht=8"], "did you mean width?"),
        ([*RUN, "--over", "width=8,a"], "needs whole numbers, got 'a'"),
        ([*RUN, "--over", "width=8,25"], "At width=25: heads must divide width"),
        ([*RUN, "--over", "process.rarity=0.5,-1"], "At rarity=-1: rarity must be"),
        ([*RUN, "--over", "persona=4,5"], "At persona=5: persona must be from 0 to 4, got 5"),
        ([*RUN, "--over", "theories=proximall"], "did you mean proximal"),
        ([*RUN, "--over", "width=8", "--over", "network.width=16"], "two axes of network.width"),
        ([*RUN, "--over", "width="], "The axis network.width has no values"),
        ([*RUN, "--over", "style=1,2", "--process.style", "3"], "process.style is an axis and an option"),
        (
            [*RUN, "--over", f"process.seed={','.join(map(str, range(1001)))}"],
            "These are 1001 runs; say --yes",
        ),
        (
            [*RUN, "--over", "width=8", "--workers", "-2"],
            "workers must be at least 0, or -1 for none, got -2",
        ),
        ([*RUN, "--seed", "1", "--seed", "2", "--over", "width=8"], "--seed is given twice"),
        (["sweep", "no-such-folder", "--plot", "explained"], "There is no folder no-such-folder"),
        (["sweep", ".", "--plot", "explained"], "holds no sweep (no sweep.json)"),
        (["sweep", "."], "holds no sweep (no sweep.json)"),
    ],
)
def test_a_mistake_is_a_sentence_and_nothing_is_written(capsys, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused(capsys, *words)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_option_is_answered_with_the_nearest(capsys):
    assert "did you mean --over?" in refused(capsys, *RUN, "--ovr", "style=1", status=2)
    assert "did you mean --by?" in refused(capsys, "sweep", ".", "--plot", "shift", "--bye", "x", status=2)


def test_a_plan_says_what_would_be_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli.main([*RUN, "--over", "style=1,2", "--over=n=16,32", "--one-at-a-time", "--dry-run"])
    printed = capsys.readouterr().out
    for words in ("centre", "style=1 ", "n=32", "runs                4", "base networks       3 sets"):
        assert words in printed
    assert list(tmp_path.iterdir()) == []


def test_help_teaches(capsys):
    cli.main(["sweep"])
    printed = capsys.readouterr().out
    for words in (
        "--over FIELD=VALUE",
        "--one-at-a-time",
        "--plot explained --by process.style",
        "scores.csv",
        "--figures",
    ):
        assert words in printed


def test_a_sweep_on_disk_is_told_and_drawn(capsys, sweeps, tmp_path):
    shares = {0.5: {"linearised": 0.9}, 1.0: "It diverged.", 2.0: None}
    plan = sweeps.plan("style=0.5,1,2")
    made = sweeps.make(tmp_path / "s", plan, lambda values: shares[values["process.style"]])
    cli.main(["sweep", str(made.folder)])
    printed = capsys.readouterr().out
    assert "failed: It diverged." in printed and "missing" in printed and "0.50" in printed
    cli.main(
        ["sweep", str(made.folder), "--plot", "explained", "--by", "process.style", "--theory", "linearised"]
    )
    printed = capsys.readouterr()
    paths = printed.out.splitlines()
    assert [path.rpartition("/")[2] for path in paths] == [
        *(f"explained-by-style.{kind}" for kind in ("png", "svg", "pdf")),
        "scores.csv",
    ]
    assert "style=1: failed: It diverged." in printed.err and "style=2: not begun yet." in printed.err
    assert "did you mean explained?" in refused(capsys, "sweep", made.folder, "--plot", "explaind")
    assert "did you mean process.style?" in refused(
        capsys, "sweep", made.folder, "--plot", "shift", "--by", "process.stile"
    )


def test_a_curve_is_drawn_of_the_runs_that_have_none(sweeps, tmp_path, monkeypatch):
    plan, drawn = sweeps.plan("style=0.5,1,2"), []
    shares = {0.5: {"linearised": 0.9}, 1.0: {"linearised": 0.9}, 2.0: None}
    made = sweeps.make(tmp_path / "s", plan, lambda values: shares[values["process.style"]])

    def draw(run):
        drawn.append(run.folder.name)
        (run.folder / "figures").mkdir()
        lines = [",".join(HEADER), "broad,sgd,written,1,0.4,0.3,0.5,2"]
        (run.folder / "figures" / "curves.csv").write_text("\n".join(lines))
        return []

    study = SimpleNamespace(of=lambda _: SimpleNamespace(draw=draw))
    monkeypatch.setattr("experiments.reports.sweep.Study", study)
    assert len(scores_with(made, "explained").points) == 3 and drawn == []
    scores_with(made, "narrow")
    assert drawn == ["style=0.5"]  # it has no curve of this name, and so have no others
    scores = scores_with(made, "broad")
    assert drawn == ["style=0.5", "style=1"]
    assert [[point.mean for point in scored.curves] for scored in scores.points] == [[0.4], [0.4], []]


def test_a_study_may_declare_its_axes(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = Study.find("weird-generalisation").module
    monkeypatch.setattr(module, "axes", lambda config: {"width": (8, config.network.width)}, raising=False)
    cli.main([*RUN, "--dry-run"])
    printed = capsys.readouterr().out
    assert "centre" in printed and "width=8" in printed and "runs                2" in printed
    monkeypatch.setattr(module, "axes", lambda config: {"widht": (8,)})
    assert "did you mean width?" in refused(capsys, *RUN)
    monkeypatch.setattr(module, "axes", lambda config: [8])
    assert "axes(config) must return a dict" in refused(capsys, *RUN)
