"""Theories over their grids of strengths: every ladder from one base network and the D' of every seed.

Theories of hypotheses are anchored at the base network: a theory of finetuning says what changes, and is not
to pay for what the network got wrong before. They and those of any predictor are mapped over D' in one
program each; those over weights are split over the devices like networks. The cell also holds the exact
process in the contexts, and the leading curvatures of the loss on D' at the base network.
"""

import functools
from dataclasses import replace
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from experiments.cells.anchor import anchor
from experiments.cells.answers import AnswerPrograms, alone, first_seed
from experiments.cells.candidates import Candidate
from experiments.cells.data import Finetuning, FinetuningData, Questions
from experiments.cells.program_store import ProgramStore
from experiments.cells.replays import answers_per_document_set
from experiments.cells.rungs import rungs
from experiments.design import random_streams
from experiments.design.experiment import Arm, Experiment
from experiments.scoring.nulls import biased, fit_bias
from experiments.storage.contents import Contexts, TheoryCell
from experiments.storage.records import Arrays, Ladder
from models.inside import steerable
from models.network import Network
from theory.base import Dataset, Key, Model, Params, PyTree, Steerable
from theory.compute.devices import Programs
from theory.contracts import Scale, Theory, required_prior
from theory.divergence.kl import answer_loss, answers_at, counted_answers, renormalised
from theory.divergence.mixture_fit import fit_weights
from theory.latent.mixture import Mixture, Uninformed
from theory.weights.curvature import gauss_newton, modes

CLOSED_FORM = 20  # strengths of a theory of closed form that are computed in a batch
Rates: TypeAlias = dict[Candidate, dict[str, np.ndarray]]
"""β for a unit of learning-rate time (s,), by theory and prior."""
MODES, ITERATIONS = 16, 32  # leading modes kept, and the steps of Lanczos that find them


class TheoryPrograms:
    """The compiled programs of all ladders: each is traced once and serves every base network and arm."""

    def __init__(
        self,
        experiment: Experiment,
        template: Network,
        answers: AnswerPrograms,
        data: FinetuningData,
        candidates: list[Candidate],
        store: ProgramStore,
    ):
        self.experiment, self.template, self.answers, self.data = experiment, template, answers, data
        self.process = experiment.process.distribution()
        self.numbers, self.structure = jax.tree.flatten(self.process)
        self.elicitation = jax.tree.map(np.asarray, experiment.process.elicitation_contexts())
        self.candidates = [
            candidate for candidate in candidates if candidate.kind in ("hypotheses", "predictor", "weights")
        ]
        self.hypotheses = [candidate for candidate in self.candidates if candidate.kind == "hypotheses"]
        self.store = store
        self.exact = store.single("exact", self._exact)
        self.known = store.single("known", self._known)
        self.modes = store.sharded("modes", self._modes, shared=1)
        self.weights = {
            candidate: store.sharded(
                (candidate.theory, candidate.priors),
                functools.partial(self._over_weights, candidate.form),
                shared=3,
            )
            for candidate in self.candidates
            if candidate.kind == "weights"
        }

    def compile(self, tokens: jax.ShapeDtypeStruct, params: Params, data: Dataset) -> None:
        """Compile the programs that every experiment has ahead of their first call."""
        scale, count = self.experiment.scale(1.0), self.experiment.seeds
        keys = jax.ShapeDtypeStruct((count, *jax.random.key_data(self.key()).shape), np.uint32)
        for candidate, program in self.weights.items():
            if not candidate.form.optional:
                program.compile(
                    self.numbers,
                    jax.ShapeDtypeStruct(candidate.form.grid(scale).shape, np.float32),
                    tokens,
                    params,
                    data,
                    keys,
                )

    def run(
        self,
        arm: Arm,
        network: Network,
        source: Network,
        finetuning: Finetuning,
        questions: Questions,
        path: tuple[int, ...],
    ) -> TheoryCell:
        """Every ladder of an arm from one base network; a teacher of D' is made of `source`. The cell's
        random streams are those of `path`."""
        keys = np.stack([jax.random.key_data(self.key(*path, seed)) for seed in range(self.experiment.seeds)])
        tokens = self.answers.padded(questions.tokens)
        contexts = self.contexts(network, questions)
        implied = self.implied_prior(network)
        priors = {"process": self.process, "implied": implied, "network": network}
        scale = self.experiment.scale(answers_per_document_set(finetuning.data))
        curvatures, directions = self.modes(
            network.params, jax.tree.map(lambda leaf: leaf[:1], finetuning.data)
        )
        reachable, rates = self._of_data(network, implied, finetuning.data)
        teacher, update = self._teacher(arm, source, tokens, questions)
        return TheoryCell(
            contexts=contexts,
            ladders=tuple(
                self._finished(
                    candidate,
                    contexts,
                    rates,
                    self.ladder(candidate, label, priors, scale, finetuning.data, keys, tokens, questions),
                )
                for candidate in self.candidates
                for label in candidate.priors
            ),
            implied_weights=np.exp(np.asarray(implied.log_weights)),
            curvatures=curvatures[0],
            modes=first_seed(directions),
            teacher_answers=teacher,
            teacher_update=update,
            observed=self.answers.observed(questions, alone(network.params)),
            reachable=reachable,
        )

    def contexts(self, network: Network, questions: Questions) -> Contexts:
        """The contexts of an arm, with the exact process and a base network in them."""
        tokens = self.answers.padded(questions.tokens)
        components, evidence, exact, uninformed = self.exact(self.process, tokens)
        return Contexts(
            group=questions.group,
            questions=questions.questions,
            answers=questions.answers,
            components=questions.at(components),
            evidence=np.asarray(evidence)[:, questions.rows, questions.positions].astype(np.float32),
            exact=questions.at(exact),
            base=questions.at(self.answers.base(network, tokens)),
            position=questions.positions,
            calibration=questions.calibration(self.experiment.fit_on),
            uninformed=questions.at(uninformed),
        )

    def _finished(self, candidate: Candidate, contexts: Contexts, rates: Rates, ladder: Ladder) -> Ladder:
        """The ladder of a theory of hypotheses from the base network's answers, all others as they are; with
        its rate, if it has one."""
        if candidate in rates:
            ladder = replace(ladder, rate=rates[candidate][ladder.prior])
        if candidate.kind != "hypotheses" or not self.experiment.anchored:
            return ladder
        reference = ladder.log_probs[0, 0]  # at β = 0, where D' says nothing: alike for all seeds
        return replace(ladder, log_probs=anchor(ladder.log_probs, contexts.base), reference=reference)

    def ladder(
        self,
        candidate: Candidate,
        label: str,
        priors: dict[str, Model],
        scale: Scale,
        data: Dataset,
        keys: np.ndarray,
        tokens: np.ndarray,
        questions: Questions,
    ) -> Ladder:
        """A theory's answers from one prior, not yet anchored."""
        form, betas, second = candidate.form, candidate.form.grid(scale), candidate.form.hyperparameters
        count = 1 if second is None else len(second)
        grid, values = np.tile(betas, count), None if second is None else np.repeat(second, len(betas))
        if candidate.kind == "weights":
            params = self._repeated(priors["network"].params)
            log_probs = self.weights[candidate](self.numbers, betas, tokens, params, data, keys)
            times, metric = np.tile(form.times(scale), count), form.metric_name
            return Ladder(
                candidate.theory,
                label,
                grid,
                questions.at(log_probs),
                form.bound,
                times=times,
                metric=metric,
                hyperparameters=values,
            )
        program, inputs = self.closed_form(candidate, label, priors, betas, data, keys, tokens)
        log_probs = program(*inputs)
        note = form.note(jax.tree.map(lambda leaf: leaf[0], data), questions.positions)
        parts = grid, questions.at(log_probs), form.bound
        return Ladder(candidate.theory, label, *parts, note=note, hyperparameters=values)

    def closed_form(
        self,
        candidate: Candidate,
        label: str,
        priors: dict[str, Model],
        betas: np.ndarray,
        data: Dataset,
        keys: np.ndarray,
        tokens: np.ndarray,
    ) -> tuple[Programs, tuple[PyTree, ...]]:
        """The program of the ladder of a theory in closed form, and its arguments."""
        steered = required_prior(candidate.form) is Steerable
        prior = steerable(priors[label]) if steered else priors[label]
        inputs = prior, data, keys, betas.astype(np.float32), tokens
        name = candidate.theory, candidate.priors, type(prior)
        program = self.store.single(name, functools.partial(self._of_every_seed, candidate.form))
        return program, (self.process, priors["network"], *inputs)

    def _of_every_seed(
        self,
        form: Theory,
        process: Mixture,
        network: Network,
        prior: Model,
        data: Dataset,
        keys: Array,
        betas: Array,
        tokens: Array,
    ) -> Array:
        """The ladder of a theory in closed form for the D' of every seed, (s, b, n, t, a)."""

        def of_one(row: tuple[Dataset, Array]) -> Array:
            inputs = process, network, prior, *row, betas, tokens
            return rungs(form, self.experiment.seed, self.answers.part, *inputs, together=CLOSED_FORM)

        return jax.lax.map(of_one, (data, keys))

    def _over_weights(
        self,
        form: Theory,
        numbers: list[Array],
        betas: Array,
        tokens: Array,
        params: Params,
        data: Dataset,
        key: Array,
    ) -> Array:
        """The ladder of a theory over weights for one D', (b, n, t, a)."""
        network = self.template.with_params(params)
        process: Mixture = jax.tree.unflatten(self.structure, numbers)
        inputs = process, network, network, data, key, betas, tokens
        seed, part = self.experiment.seed, self.answers.part
        return rungs(form, seed, part, *inputs, together=len(betas))

    def key(self, *path: int) -> Key:
        """The random stream of a path of numbers."""
        return random_streams.stream(self.experiment.seed, random_streams.THEORY, *path)

    def _teacher(
        self, arm: Arm, source: Network, tokens: np.ndarray, questions: Questions
    ) -> tuple[np.ndarray | None, Arrays | None]:
        """Answers of the teacher that writes D', and its weights less those of its base network."""
        teacher = self.data.teacher(arm, source)
        if teacher is None:
            return None, None
        params = jax.tree.map(lambda leaf: np.asarray(leaf)[None], teacher.params)
        answers = self.answers.read(tokens, jax.tree.map(lambda leaf: leaf[None], params))[0][0]
        update = jax.tree.map(lambda after, before: after - np.asarray(before), params, source.params)
        return questions.at(answers), first_seed(update)

    def _modes(self, params: Params, data: Dataset) -> tuple[Array, Params]:
        """Curvatures (m,) and unit directions (m, ...), largest first; the start favours no direction."""
        network = self.template.with_params(params)
        flat, shaped = ravel_pytree(params)
        key = random_streams.stream(self.experiment.seed, random_streams.MODES)
        start = shaped(jax.random.normal(key, flat.shape, flat.dtype))
        values, parts = modes(gauss_newton(network, data).product, start, ITERATIONS)
        rows = jax.vmap(lambda part: ravel_pytree(part)[0])(parts)[::-1][:MODES]
        rows /= jnp.maximum(jnp.linalg.norm(rows, axis=-1, keepdims=True), 1e-30)  # a space may be exhausted
        return values[::-1][:MODES], jax.vmap(shaped)(rows)

    def _exact(self, process: Mixture, tokens: Array) -> tuple[Array, Array, Array, Array]:
        """Answers of every hypothesis (k, n, t, a), their evidence (k, n, t), the exact answers (n, t, a) and
        those without any inference."""
        part = self.answers.part
        components = renormalised(process.component_log_probs(tokens)[..., part])
        exact, uninformed = (answers_at(source, tokens, part) for source in (process, Uninformed(process)))
        return components, process.evidence(tokens), exact, uninformed

    def _of_data(self, network: Network, implied: Mixture, data: Dataset) -> tuple[np.ndarray, Rates]:
        """Losses on every D' (s, 3), in nats an answer: of the base network, of the base network with the
        best bias, and of the hypothesis under which D' is most likely; nan where D' counts no answer. And the
        rates of theories that have one."""
        part, losses, every = self.answers.part, [], []
        for seed in range(len(data.tokens)):
            documents = jax.tree.map(lambda leaf, seed=seed: leaf[seed], data)
            known = self.known(self.process, implied, network, documents)
            log_probs, hypotheses = map(np.asarray, known[:2])
            counted = np.asarray(counted_answers(documents, part))
            given = np.asarray(documents.tokens)[counted] - part.start
            log_probs, rows = log_probs[counted].astype(float), np.arange(len(given))
            with np.errstate(divide="ignore"):
                target = np.log(np.eye(log_probs.shape[-1])[given])
            best = biased(log_probs, fit_bias(target, log_probs))
            before, after = (
                -values[rows, given].mean() if len(given) else np.nan for values in (log_probs, best)
            )
            losses.append([before, after, hypotheses.min()])
            every.append(known[2])
        rates = {}
        for index in every[0]:
            values = np.array([rows[index] for rows in every], np.float32).T
            rates[self.hypotheses[index]] = dict(zip(("process", "implied"), values, strict=True))
        return np.array(losses, np.float32), rates

    def _known(
        self, process: Mixture, implied: Mixture, network: Network, data: Dataset
    ) -> tuple[Array, Array, dict[int, Array]]:
        """The base network's answers in D' (n, t, a), the loss on D' of every hypothesis (k,), and the rates
        from both priors (2,) of theories of hypotheses that have one, by number."""
        part = self.answers.part
        components = renormalised(process.component_log_probs(data.tokens)[..., part])
        weights = jnp.stack([process.log_weights, implied.log_weights])

        def rate(form: Theory, weights: Array) -> Array | None:
            return form.rate(process.with_log_weights(weights), network, data)

        every = [jax.vmap(functools.partial(rate, theory.form))(weights) for theory in self.hypotheses]
        rates = {index: values for index, values in enumerate(every) if values is not None}
        return answers_at(network, data.tokens, part), answer_loss(components, data, part), rates

    def implied_prior(self, network: Network) -> Mixture:
        """The process with the weights that the base network acts on, fitted to its answers where contexts
        say little of the hypothesis."""
        tokens = self.answers.padded(self.elicitation.tokens)
        places = np.nonzero(self.elicitation.mask)
        components, evidence, *_ = (np.asarray(values) for values in self.exact(self.process, tokens))
        answers = self.answers.base(network, tokens)
        weights, _ = fit_weights(answers[places][None], components[:, *places], evidence[:, *places])
        return self.process.with_log_weights(jnp.log(jnp.maximum(jnp.asarray(weights[0]), 1e-12)))

    def _repeated(self, params: Params) -> Params:
        return jax.tree.map(lambda leaf: np.stack([np.asarray(leaf)] * self.experiment.seeds), params)
