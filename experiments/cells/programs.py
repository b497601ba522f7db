"""The executor of an experiment: its compiled programs by kind of cell, and the contents of each cell.

A cell holds log-probabilities of the answers at its arm's contexts (axes: s seeds, b strengths, d doses, c
contexts, a answers). What is made of them (fits, noise ceilings, scores) is arithmetic in
`experiments.scoring`.
"""

import functools
from collections.abc import Callable
from dataclasses import replace

import jax
import numpy as np

from experiments.cells.answers import AnswerPrograms
from experiments.cells.axioms import AxiomPrograms, axiom_failure
from experiments.cells.candidates import candidates
from experiments.cells.closed_forms import compile_closed_forms
from experiments.cells.data import FinetuningData
from experiments.cells.finetuned import FinetunedPrograms, failure
from experiments.cells.inside_parts import PlanPrograms
from experiments.cells.measures import MeasurePrograms
from experiments.cells.method_checks import check_methods
from experiments.cells.posteriors import PosteriorPrograms
from experiments.cells.program_store import ProgramStore, alike
from experiments.cells.replays import ReplayPrograms
from experiments.cells.theories import TheoryPrograms
from experiments.cells.theory_checks import check_theories
from experiments.design.currencies_plan import CurrenciesPlan
from experiments.design.curve_plan import CurvePlan
from experiments.design.experiment import Arm, Experiment
from experiments.design.factors_plan import FactorsPlan
from experiments.design.inside_plan import InsidePlan, Plan
from experiments.design.motor_plan import MotorPlan
from experiments.design.retraining import NAME
from experiments.design.shared_plans import AlphabetsPlan, InjectionPlan
from experiments.storage.contents import CellContent, RetrainedCell
from experiments.storage.records import Cell, Ladder
from models.network import Network
from theory.base import Dataset, Params
from theory.compute.background import background


def inside_programs(plan: Plan) -> type[PlanPrograms]:
    """Programs of a plan of the inside, imported when they are wanted: other runs need no optimizers of
    scipy, which take a while to load."""
    match plan:
        case CurvePlan():
            from experiments.cells.curves import CurvePrograms

            return CurvePrograms
        case InsidePlan():
            from experiments.cells.inside import InsidePrograms

            return InsidePrograms
        case MotorPlan():
            from experiments.cells.motor import MotorPrograms

            return MotorPrograms
        case CurrenciesPlan():
            from experiments.cells.currencies import CurrencyPrograms

            return CurrencyPrograms
        case FactorsPlan():
            from experiments.cells.factors import FactorPrograms

            return FactorPrograms
        case AlphabetsPlan():
            from experiments.cells.alphabets import AlphabetPrograms

            return AlphabetPrograms
        case InjectionPlan():
            from experiments.cells.injection import InjectionPrograms

            return InjectionPrograms
    raise TypeError(f"There are no programs of a {type(plan).__name__}.")


class Executors:
    """Executors of experiments that come one after the other; alike ones share their programs."""

    def __init__(self) -> None:
        self._last: Executor | None = None

    def of(self, experiment: Experiment, template: Network) -> "Executor":
        """The executor of an experiment."""
        last = self._last
        store = last.store if last is not None and alike(last.experiment, experiment) else None
        self._last = Executor(experiment, template, store)
        return self._last


class Executor:
    """The compiled programs of an experiment: each is traced once and serves every base, arm and seed.

    With the `store` of an executor whose experiment is `alike`, they are that one's.
    """

    def __init__(self, experiment: Experiment, template: Network, store: ProgramStore | None = None):
        self._are_called = store is not None  # its programs, by an executor before
        self.store = store = store or ProgramStore()
        self.experiment, self.template = experiment, template
        self.data = FinetuningData(experiment)
        elicitation = experiment.process.elicitation_contexts().tokens
        contexts = [len(elicitation), *(len(self.data.questions(arm).tokens) for arm in experiment.arms)]
        rows = -(-max(contexts) // 8) * 8
        scored = candidates(experiment)
        check_methods(experiment, template)
        check_theories(experiment, template, scored)
        self.answers = AnswerPrograms(experiment, template, rows, store)
        self.theories = TheoryPrograms(experiment, template, self.answers, self.data, scored, store)
        self.replays = ReplayPrograms(experiment, template, self.answers, scored, store)
        self.finetuned = FinetunedPrograms(experiment, template, self.answers, store)
        self.posteriors = PosteriorPrograms(experiment, template, rows) if experiment.sampling else None
        self.axioms = (
            AxiomPrograms(experiment, template, self.answers, self.theories, self.data)
            if experiment.axioms
            else None
        )
        self.inside = (
            inside_programs(experiment.inside)(experiment, template, self.answers, self.finetuned, self.data)
            if experiment.inside
            else None
        )
        self.measures = MeasurePrograms(experiment, template, store) if experiment.measures else None
        self._others: list[Callable[[], None]] = []  # to be compiled later

    def compile(self, everything: bool = False) -> None:
        """Compile the programs ahead of their first call, those of the first cell first.

        If not `everything`, those of other ways of finetuning than the first are left until the first
        networks are finetuned: a first figure needs none of them, and compiling takes the cores from whatever
        else is computed.
        """
        experiment, shape = self.experiment, jax.ShapeDtypeStruct
        seeds, params = experiment.seeds, self.template.params
        tokens = shape((self.answers.rows, experiment.process.length), np.int32)

        def stacked(count: int, tree: Params) -> Params:
            return jax.tree.map(lambda leaf: shape((count, *leaf.shape), leaf.dtype), tree)

        def data(count: int) -> Dataset:
            documents = (count, experiment.n, experiment.process.length)
            return Dataset(shape(documents, np.int32), shape(documents, np.bool_))

        def order(count: int) -> jax.ShapeDtypeStruct:
            batch = experiment.arms[0].batch or experiment.batch
            return shape((count, experiment.steps, batch), np.int32)

        self.answers.read.compile(tokens, stacked(1, stacked(1, params)))
        if self.axioms is not None:
            self.axioms.compile(tokens, params)
            return
        if self.inside is None:
            self.theories.compile(tokens, stacked(seeds, params), data(seeds))
            self.theories.modes.compile(params, data(1))
            if self.finetuned.large is None and not self._are_called:
                compile_closed_forms(self.theories, self.data.questions(experiment.arms[0]))

        numbers = [shape((count,), np.int32) for count in (2 * seeds, seeds)]

        def finetuned(name: str) -> None:
            if self.finetuned.large is None:
                self.finetuned.finetune[name].compile(params, data(2 * seeds), order(2 * seeds), numbers[0])

        def replayed(name: str) -> None:
            if name in self.replays.replay and self.inside is None:
                self.replays.replay[name].compile(params, tokens, data(seeds), order(seeds), numbers[1])
                if experiment.measures:
                    linear = stacked(seeds, stacked(len(experiment.doses), params))
                    self.replays.orders.compile(params, tokens, linear)

        first, *others = experiment.methods
        # from the end: a cell that is run meanwhile compiles its own program beside these
        left = [functools.partial(make, name) for name in others for make in (replayed, finetuned)]
        at_once = everything or self.inside is not None
        self._others = [] if at_once else left
        finetuned(first)
        if self.finetuned.large is None and self.inside is None:
            self.answers.read.compile(tokens, stacked(2 * seeds, stacked(len(experiment.doses), params)))
            if experiment.observe is not None:
                snapshots = stacked(seeds, stacked(len(experiment.doses), params))
                self.answers.observe.compile(tokens, snapshots)
        replayed(first)
        for compile_other in left if at_once else ():
            compile_other()
        if self.posteriors is not None and self.inside is None:
            self.posteriors.compile()

    def _compile_others(self) -> None:
        """Start to compile what `compile` has left, once."""
        others, self._others = self._others, []
        if others:
            background(lambda: [program() for program in others]).start()

    def run(
        self,
        cell: Cell,
        network: Network,
        source: Network | None = None,
        retrained: Params = None,
    ) -> tuple[CellContent, str]:
        """The content of a cell, and why it failed ("" if it did not). If D' has a teacher, it is made of the
        base network `source`: the student's own, if none is given. `retrained` (r, ...) are the weights of
        the networks pretrained with every share of D', of a cell that is of them."""
        arm, source, self._are_called = self.experiment.arm(cell.arm), source or network, True
        if cell.kind == "retrained":
            return self._retrained(arm, network, retrained), ""
        if self.axioms is not None:
            axioms = self.axioms.run(cell.method, arm, network, cell.base)
            return axioms, axiom_failure(axioms)
        if self.inside is not None:
            return self.inside.run(arm, network, cell.base)
        path = cell.base, self.experiment.arms.index(arm)  # of the random streams of this cell alone
        questions, finetuning = self.data.questions(arm), self.data.finetuning(arm, source)
        if cell.kind == "theories":
            content = self.theories.run(arm, network, source, finetuning, questions, path)
            known = self.measures.of_data(network, finetuning.data, questions) if self.measures else {}
            return replace(content, measures=known), ""
        if cell.method and cell.method != next(iter(self.experiment.methods)):
            self._compile_others()
        if cell.kind == "replays":
            content = self.replays.run(cell.method, arm, network, finetuning, questions)
            if self.measures:
                known = self.measures.of_method(cell.method, network, finetuning, questions)
                content = replace(content, measures=content.measures | known)
            return content, ""
        if cell.kind == "posteriors":
            assert self.posteriors is not None
            return self.posteriors.run(network, finetuning.data, questions, path), ""
        content = self.finetuned.run(cell.method, network, finetuning, questions)
        self._compile_others()
        return content, failure(content, self.experiment.doses)

    def _retrained(self, arm: Arm, network: Network, retrained: Params) -> RetrainedCell:
        """Answers of the base network and of those retrained with every share."""
        questions, shares = self.data.questions(arm), self.experiment.retraining.shares
        every = jax.tree.map(
            lambda base, others: np.concatenate([np.asarray(base)[None], others])[:, None],
            network.params,
            retrained,
        )
        answers = self.answers.read(self.answers.padded(questions.tokens), every)[:, 0]
        betas = np.array([0.0, *shares])
        return RetrainedCell(Ladder(NAME, "network", betas, questions.at(answers)[None]))
