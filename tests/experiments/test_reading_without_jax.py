"""What reads results works where no jax is installed: plot, score and report of every study.

The runs are made up, a folder for each study in its preset `smoke`: its cells, contexts and observations have
the shapes of a true run, the numbers in them are random.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.cells.data import FinetuningData
from experiments.design.study import Study, StudyRun
from experiments.discovery import Catalogue
from experiments.runs.pretraining import template
from experiments.scoring.thresholds import COLUMNS
from experiments.storage.axiom_cell import AxiomCell
from experiments.storage.contents import (
    AlphabetsCell,
    Contexts,
    CurrenciesCell,
    CurveCell,
    FactorsCell,
    FinetunedCell,
    InjectionCell,
    InsideCell,
    MotorCell,
    PosteriorCell,
    ReplayCell,
    RetrainedCell,
    TheoryCell,
)
from experiments.storage.curve_cell import CODE, FOLLOWED, LOST, MOVED, TWIST, USED
from experiments.storage.records import Cell, Ladder
from experiments.storage.run_folder import create

ROOT = Path(__file__).resolve().parents[2]
STUDIES = Catalogue().names("studies")
BLOCKED = ("jax", "jaxlib", "flax", "numpyro", "optax", "models")
READER = """
import json, pathlib, sys
for name in {blocked}:
    sys.modules[name] = None  # an import of it fails, as where it is not installed
from experiments import cli
from experiments.figures import style
from experiments.reports.html import write_report
from experiments.scoring.rows import rows
from experiments.storage.run_folder import find
style.FORMATS = {{"svg": {{"Date": None}}}}  # the quickest to write
steps = {{
    "rows": lambda run: run.save_rows(rows(run)),
    "plot": lambda run: cli.main(["plot", str(run.folder)]),
    "score": lambda run: cli.main(["score", str(run.folder)]),
    "report": write_report,  # as finebayes report does, which draws first
}}
failed = {{}}
for folder in sys.argv[1:]:
    run = find(folder)
    for step, do in steps.items():
        try:
            do(run)
        except BaseException as error:
            failed[pathlib.Path(folder).name + " " + step] = repr(error)
print("FAILED " + json.dumps(failed))
"""


class MadeUp:
    """Random answers with the shapes of an experiment's arm; h hypotheses, s seeds, d doses, c contexts."""

    def __init__(self, experiment, random):
        self.experiment, self.random = experiment, random
        self.data = FinetuningData(experiment)
        self.hypotheses = len(experiment.process.distribution().log_weights)
        self.network = template(experiment.process, experiment.shape)
        self.leading = experiment.seeds, len(experiment.doses)

    def log_probs(self, *shape):
        values = self.random.normal(size=shape)
        return (values - np.log(np.exp(values).sum(axis=-1, keepdims=True))).astype(np.float32)

    def content(self, cell, shape):
        """The content of a cell, with answers at `shape` (c, a)."""
        return getattr(self, cell.kind)(self.experiment.arm(cell.arm), shape)

    def contexts(self, arm):
        questions = self.data.questions(arm)
        shape = len(questions.group), len(questions.answers)
        return Contexts(
            questions.group,
            questions.questions,
            questions.answers,
            self.log_probs(self.hypotheses, *shape),
            self.random.normal(size=(self.hypotheses, shape[0])),
            *(self.log_probs(*shape) for _ in range(2)),
        )

    def ladder(self, theory, prior, shape, **more):
        betas = np.array([0.0, 0.1, 1.0, 10.0])
        return Ladder(theory, prior, betas, self.log_probs(self.leading[0], len(betas), *shape), **more)

    def update(self, *leading):
        return {"blocks.0.up_proj": self.random.normal(size=(*leading, 4, 4))}

    def observed(self, arm, *leading):
        """Random counts where an experiment observes its networks."""
        observe, questions = self.experiment.observe, self.data.questions(arm)
        made = jax.eval_shape(observe, self.network, questions.tokens) if observe else {}
        return {
            name: self.random.integers(1, 9, size=(*leading, len(questions.rows), *leaf.shape[1:]))
            for name, leaf in made.items()
        }

    def theories(self, arm, shape):
        ladders = (
            *(self.ladder("tempered-posterior", prior, shape, bound="mixture") for prior in PRIORS),
            self.ladder("exchangeable-product", "implied", shape, bound="mixture"),
            self.ladder("proximal", "network", shape, times=np.arange(4.0), metric="identity"),
        )
        weights = np.full(self.hypotheses, 1 / self.hypotheses)
        teacher = (self.log_probs(*shape), self.update(1)) if arm.teacher else (None, None)
        observed = self.observed(arm, 1, 1)
        return TheoryCell(
            self.contexts(arm), ladders, weights, np.ones(2), self.update(2), *teacher, observed
        )

    def posteriors(self, arm, shape):
        strengths = self.leading[0], 4
        more = {"problems": np.full(strengths, ""), "diagnostics": np.ones((*strengths, len(COLUMNS)))}
        more["problems"][0, -1] = "R-hat is 1.3."
        return PosteriorCell(
            tuple(
                self.ladder(part.theory, part.prior, shape, times=np.arange(4.0), **more)
                for part in self.experiment.sampling.sets()
            )
        )

    def replays(self, arm, shape):
        answers = {name: self.log_probs(*self.leading, *shape) for name in ("linearised", "quadratic")}
        strengths = {"tempered-posterior/implied": np.linspace(0, 5, self.leading[1])}
        times = {"identity": np.linspace(0.1, 2, self.leading[1])}
        return ReplayCell(answers, strengths, times, self.update(self.leading[1]))

    def finetuned(self, arm, shape):
        seeds, doses = self.leading
        networks = self.log_probs(seeds, doses, *shape)
        return FinetunedCell(
            networks,
            (networks + 0.01 * self.log_probs(seeds, doses, *shape)).astype(np.float32),
            np.ones((seeds, doses)),
            np.ones((seeds, doses)),
            self.update(doses),
            self.observed(arm, seeds, doses),
        )

    def retrained(self, arm, shape):
        shares = np.array([0.0, *self.experiment.retraining.shares])
        return RetrainedCell(Ladder("retrained", "network", shares, self.log_probs(1, len(shares), *shape)))

    def axioms(self, arm, shape):
        names = ("ordered", "reordered", "resumed", "forward", "backward", "pooled", "pooled_reordered")
        ends = {name: self.log_probs(self.leading[0], *shape) for name in names}
        evidence = self.random.normal(size=(4, shape[0]))
        return AxiomCell(self.contexts(arm), **ends, drawn=self.log_probs(4, *shape), drawn_evidence=evidence)

    def inside(self, arm, shape):
        return getattr(self, type(self.experiment.inside).__name__)()

    def CurrenciesPlan(self):
        plan = self.experiment.inside
        names = {"shots": plan.shots, "nats": plan.nats, "totals": [1, 3], "price": 1.8}
        names |= {"training_nats": plan.training_nats}
        names |= {"doses": [0, *self.experiment.doses]}
        return self.measures(CurrenciesCell, names, "w2 q2 r6 b2 c4 f7 h2 a5 j3 i3 p12 u2 v4 e2 o4 g2 y3 k2")

    def AlphabetsPlan(self):
        return self.measures(AlphabetsCell, {"home": 2}, "u3 a3 b3 g2 z3 x4 c2")

    def FactorsPlan(self):
        return self.measures(FactorsCell, {"home": 0}, "t2 f7 h2 c2 a3 b3 g2 k2")

    def InjectionPlan(self):
        return self.measures(InjectionCell, {}, "w2 o4 c2 f7 h2")

    def MotorPlan(self):
        plan, layers = self.experiment.inside, self.experiment.shape.layers
        names = {"events": [*plan.events], "labels": plan.labels, "edited": np.unique([1, layers])}
        names |= {"depths": np.arange(1 + layers)}
        return self.measures(MotorCell, names, "r6 g7 p2 b3 q4 k6 v6 u5 h3 i6 f7")

    def InsidePlan(self):
        names = {"edited": np.arange(1, 1 + self.experiment.shape.layers)}
        return self.measures(InsideCell, names, "p2 f7 v3 b5 o2 r5 t5 i4 j2 g4 h2 w2")

    def CurvePlan(self):
        names, layers = (
            {"columns": np.arange(1, 13), "lengths": np.arange(6, 12)},
            self.experiment.shape.layers,
        )
        parts = {"c": CODE, "t": TWIST, "u": USED, "f": FOLLOWED, "n": MOVED, "k": LOST}
        sizes = " ".join(f"{axis}{len(part)}" for axis, part in parts.items())
        return self.measures(CurveCell, names, f"{sizes} b{layers} g9 e8 r2 z2 h4 x7 y2 q3")

    def measures(self, kind, names, sizes):
        """Named arrays with these names and sizes of axes, the others made up."""
        known = {"methods": [*self.experiment.methods], "doses": self.experiment.doses}
        known |= {"depths": np.arange(1, 1 + self.experiment.shape.layers)} | names
        known = {name: np.array(value) for name, value in known.items() if name in kind.axes}
        axes = {word[0]: int(word[1:]) for word in sizes.split()} | {"s": self.leading[0]}
        axes |= {kind.axes[name]: len(value) for name, value in known.items() if kind.axes[name]}
        made = {
            name: self.random.uniform(0.1, 1, size=[axes[axis] for axis in letters])
            for name, letters in {**kind.axes, **kind.optional}.items()
        }
        return kind(**(made | known))


PRIORS = ("process", "implied")


def make_run(name, folder):
    """A finished folder of a study in its preset `smoke`, with every cell of it."""
    study = Study.find(name)
    run = StudyRun.make(study, "smoke", study.preset("smoke"))
    made = MadeUp(run.experiments()[0], np.random.default_rng(0))
    written = create(folder, run.record, {"python": "3"})
    shapes = {arm.name: made.contexts(arm).base.shape for arm in made.experiment.arms}
    for cell in made.experiment.cells():
        written.save(cell, made.content(cell, shapes[cell.arm]))
    return written


# With chains, with what networks write, with teachers, readouts, axioms, probes; make test-slow reads all.
FEW = ("langevin-vs-sgd", "subliminal", "out-of-context", "axioms", "inside-beliefs")
PARTS = [pytest.param(FEW, id="few"), pytest.param(STUDIES, id="all", marks=pytest.mark.slow)]


@pytest.mark.parametrize("names", PARTS)
def test_every_study_is_read_without_jax(tmp_path, names):
    """One process reads them all; a failure is named by study and step."""
    folders = [make_run(name, tmp_path / name).folder for name in names]
    kinds = {Cell.parse(path.stem).kind for path in tmp_path.glob("*/cells/*.npz")}
    assert kinds == {"theories", "posteriors", "replays", "finetuned", "axioms", "retrained", "inside"}
    words = [sys.executable, "-c", READER.format(blocked=BLOCKED), *map(str, folders)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=tmp_path)
    line = next((line for line in done.stdout.splitlines() if line.startswith("FAILED ")), None)
    assert line is not None, done.stderr
    assert json.loads(line.removeprefix("FAILED ")) == {}, done.stderr
    for folder in folders:
        assert list((folder / "figures").glob("*.svg")) and (folder / "report.html").exists(), folder.name
