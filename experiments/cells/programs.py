"""The workbench of a comparison: its compiled programs, and the arrays of each cell.

A cell holds log-probabilities of the answers at its arm's contexts (axes: s seeds, b strengths, d doses, c
contexts, a answers; a finetuned network also has a twin that met the same D' in another order). What is made
of them (fits, floors, ceilings, scores) is arithmetic in `experiments.scoring.rows`, on what is on disk. Of
the
first seed cells also hold `update/LEAF` (d, ...), full weights less w0, and `mode/LEAF` (m, ...), directions.
Where a teacher writes D', `theories` hold its answers, `taught` (c, a), and `teacher/LEAF`, its own update.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from experiments.cells import candidates as contenders
from experiments.cells import clock
from experiments.cells.data import FinetuningData
from experiments.cells.posteriors import Posteriors
from experiments.cells.replays import replay
from experiments.design import random_streams
from experiments.design.experiment import Arm, Comparison
from experiments.scoring.rows import REPLAYED
from experiments.storage.run_folder import Arrays
from models.finetuning.method import ExtraData, Method, finetune
from models.network import Network
from theory.base import Dataset, ladder
from theory.compute.devices import ShardedMap, compiler_options
from theory.divergence.kl import answers_at
from theory.divergence.mixture_fit import fit_weights
from theory.latent.mixture import Mixture
from theory.theories.proximal import Proximal
from theory.theories.tempered_posterior import TemperedPosterior
from theory.weights.curvature import gauss_newton, modes

UNCONVERGED = 0.05  # of the gradient at w0: a rung of the proximal ladder with more is left out
DOCUMENTS = 64  # of pretraining, for the theories that need some
MODES, ITERATIONS = 16, 32  # leading modes kept, and the steps of Lanczos that find them


class Executor:
    """The compiled programs of a comparison: each is traced once and serves every base, arm and seed."""

    def __init__(self, comparison: Comparison, template: Network):
        self.comparison, self.written = comparison, FinetuningData(comparison)
        self.template = template
        self.process = comparison.process.distribution()
        self.mixtures = contenders.mixtures(comparison.process)
        self.paths = contenders.paths(self.process)
        self.elicitation_contexts = jax.tree.map(np.asarray, comparison.process.elicitation_contexts())
        asked = [
            self.elicitation_contexts.tokens,
            *(self.written.contexts(arm)[0] for arm in comparison.arms),
        ]
        self.rows = -(-max(map(len, asked)) // 8) * 8
        self.finetune = {
            name: ShardedMap(functools.partial(self._finetune, method), shared=1)
            for name, method in comparison.methods.items()
        }
        self.dynamics = {
            name: ShardedMap(functools.partial(self._dynamics, method), shared=2)
            for name, method in comparison.methods.items()
        }
        self.read = ShardedMap(self._read, shared=1)
        self.observe = ShardedMap(self._observe, shared=1)
        self.modes = ShardedMap(self._modes, shared=1)
        self.exact = jax.jit(self._exact, compiler_options=compiler_options())
        self._ladders: dict[Any, Any] = {}
        self.proximal = ShardedMap(self._proximal, shared=2)
        self.weighted = {
            (each.theory, each.prior): ShardedMap(functools.partial(self._weighted, each), shared=2)
            for each in contenders.WEIGHTED
            if each.theory in comparison.theories
        }
        self.posteriors = Posteriors(comparison, template, self.rows) if comparison.sampling else None

    def compile(self) -> None:
        """Compile the large programs ahead of their first call."""
        comparison, shape = self.comparison, jax.ShapeDtypeStruct
        seeds, params = comparison.seeds, self.template.params
        tokens = shape((self.rows, comparison.process.length), np.int32)

        def rows(count: int, tree: Any) -> Any:
            return jax.tree.map(lambda leaf: shape((count, *leaf.shape), leaf.dtype), tree)

        def data(count: int) -> Any:
            documents = (count, comparison.n, comparison.process.length)
            return Dataset(shape(documents, np.int32), shape(documents, np.bool_))

        def order(count: int) -> Any:
            batch = comparison.arms[0].batch or comparison.batch
            return shape((count, comparison.steps, batch), np.int32)

        betas = shape(self._proximal_times().shape, np.float32)
        self.proximal.compile(betas, tokens, rows(seeds, params), data(seeds))
        for name in comparison.methods:
            seed = [shape((count,), np.int32) for count in (2 * seeds, seeds)]
            self.finetune[name].compile(params, data(2 * seeds), order(2 * seeds), seed[0])
            self.dynamics[name].compile(params, tokens, data(seeds), order(seeds), seed[1])
        if self.posteriors is not None:
            self.posteriors.compile()
        self.modes.compile(params, data(1))
        self.read.compile(tokens, rows(2 * seeds, rows(len(comparison.doses), params)))
        self.read.compile(tokens, rows(1, rows(1, params)))
        if comparison.observe is not None:
            self.observe.compile(tokens, rows(seeds, rows(len(comparison.doses), params)))

    def run(self, name: str, arm: Arm, network: Network, source: Network | None = None) -> tuple[Arrays, str]:
        """The arrays of a cell, or the reason it failed. If D' has a teacher, it is made of the base network
        `source`: the student's own, if none is given."""
        tokens, where, groups = self._contexts(arm)
        data, batches, twins = self.written.data(arm, source or network)
        if name == "theories":
            arrays = self._theories(network, data, tokens, where)
            arrays |= groups | self._taught(arm, source or network, tokens, where)
        elif name == "langevin" and self.posteriors is not None:
            arrays = self.posteriors.run(network, data, tokens, where)
        elif name.startswith("dynamics-"):
            method, seeds = name.removeprefix("dynamics-"), np.arange(self.comparison.seeds, dtype=np.int32)
            told, updates = self.dynamics[method](network.params, tokens, data, batches, seeds)
            arrays = {kind: said[..., *where, :].astype(np.float32) for kind, said in told.items()}
            spans = clock.times(self.comparison.methods[method], self.comparison.doses)
            arrays |= {f"time/{metric}": times for metric, times in spans.items()} | _first("update", updates)
        else:
            arrays = self._networks(name, network, data, batches, twins, tokens, where)
        return arrays, _unhealthy(arrays, self.comparison.doses)

    def _theories(self, network: Network, data: Dataset, tokens: Any, where: Any) -> Arrays:
        def at(log_probs: Any) -> np.ndarray:
            return np.asarray(log_probs)[..., where[0], where[1], :].astype(np.float32)

        components, evidence, exact = self.exact(self.process, tokens)
        alone = jax.tree.map(lambda leaf: leaf[None, None], network.params)
        base = at(self.read(tokens, alone)[0][0])
        arrays = {"members": at(components), "exact": at(exact), "base": base}
        arrays |= self._observed(tokens, alone, where)
        arrays["evidence"] = np.asarray(evidence)[:, where[0], where[1]].astype(np.float32)
        counted = float(data.mask.sum(axis=(1, 2)).mean())  # answers in D', over which β sums
        held = self._held_prior(network)
        arrays["held_weights"] = np.exp(np.asarray(held.log_weights))
        priors = {"process": self.process, "held": held, "network": network}
        heard = self.comparison.theories
        for table, kinds in ((self.mixtures, ("process", "held")), (self.paths, ("network",))):
            for theory, (told, betas) in table.items():
                for prior in kinds if theory in heard else ():
                    rungs = self._ladder(told, betas, priors[prior], data, tokens)
                    arrays |= {f"ladder/{theory}/{prior}": at(rungs), f"betas/{theory}/{prior}": betas}
        params = self._repeat(network.params)
        for each in contenders.WEIGHTED:
            if (each.theory, each.prior) in self.weighted:
                name = f"{each.theory}/{each.prior}"
                betas = (each.times() / counted).astype(np.float32)
                rungs = self.weighted[each.theory, each.prior](betas, tokens, params, data)
                arrays |= {f"ladder/{name}": at(rungs), f"betas/{name}": betas}
                if each.clock:
                    arrays |= {f"clock/{name}": np.array(each.clock), f"times/{name}": each.times()}
        betas = self._proximal_times() / np.float32(counted)
        rungs, residuals = self.proximal(betas, tokens, params, data)
        lost = residuals > UNCONVERGED
        rungs = np.where(lost[(..., *[None] * (rungs.ndim - lost.ndim))], np.nan, rungs)
        arrays |= {"ladder/proximal/network": at(rungs), "betas/proximal/network": betas}
        times = betas * counted
        arrays |= {"clock/proximal/network": np.array("identity"), "times/proximal/network": times}
        curvatures, directions = self.modes(network.params, jax.tree.map(lambda leaf: leaf[:1], data))
        arrays |= {"curvatures": curvatures[0], **_first("mode", directions)}
        return arrays | {"proximal_residual": residuals.astype(np.float32)}

    def _taught(self, arm: Arm, source: Network, tokens: Any, where: Any) -> Arrays:
        """What the teacher that writes D' says, and its weights less those of the base it is made of."""
        teacher = self.written.teacher(arm, source)
        if teacher is None:
            return {}
        params = jax.tree.map(lambda leaf: np.asarray(leaf)[None], teacher.params)
        answers = self.read(tokens, jax.tree.map(lambda leaf: leaf[None], params))[0][0]
        update = jax.tree.map(lambda after, before: after - np.asarray(before), params, source.params)
        return {"taught": answers[*where, :].astype(np.float32), **_first("teacher", update)}

    def _networks(
        self, name: str, network: Network, data: Dataset, batches: Any, twins: Any, tokens: Any, where: Any
    ) -> Arrays:
        doubled = jax.tree.map(lambda leaf: np.concatenate([leaf, leaf]), data)
        orders = np.concatenate([batches, twins])
        seeds = np.arange(2 * self.comparison.seeds, dtype=np.int32) % self.comparison.seeds
        params, losses = self.finetune[name](network.params, doubled, orders, seeds)
        answers = self.read(tokens, params)[..., where[0], where[1], :].astype(np.float32)
        count = self.comparison.seeds
        updates = jax.tree.map(lambda after, before: after - np.asarray(before), params, network.params)
        moved = np.sqrt(
            sum(np.sum(np.square(u), axis=tuple(range(2, u.ndim))) for u in jax.tree.leaves(updates))
        )
        return {
            **self._observed(tokens, jax.tree.map(lambda leaf: leaf[:count], params), where),
            "finetuned": answers[:count],
            "twin": answers[count:],
            "loss": losses[:count].astype(np.float32),
            "distance": moved[:count].astype(np.float32),
            **_first("update", updates),
        }

    def _observed(self, tokens: Any, params: Any, where: Any) -> Arrays:
        """What is observed of networks (s, d) besides their answers, at every context: (s, d, c, ...)."""
        if self.comparison.observe is None:
            return {}
        seen = self.observe(tokens, params)
        return {f"observed/{name}": each[:, :, where[0]] for name, each in seen.items()}

    # the functions that are compiled: each for one seed, mapped over seeds by `SideBySide`

    def _finetune(self, method: Method, params: Any, data: Dataset, batches: Any, seed: Any) -> Any:
        network = self.template.with_params(params)
        extra = self._supply(method, data, seed)
        return finetune(network, data, batches, method, self.comparison.doses, extra)

    def _dynamics(
        self, method: Method, params: Any, tokens: Any, data: Dataset, batches: Any, seed: Any
    ) -> Any:
        """What theories that replay the method say, and the update of the first of them."""
        network, extra = self.template.with_params(params), self._supply(method, data, seed)
        told = {
            kind: replay(kind, network, data, batches, method, self.comparison.doses, extra)
            for kind in REPLAYED
            if kind == REPLAYED[0] or kind in self.comparison.theories
        }
        answers = {kind: self._answers(stacked, tokens) for kind, (stacked, _) in told.items()}
        return answers, jax.tree.map(lambda after, leaf: after - leaf, told[REPLAYED[0]][1], params)

    def _modes(self, params: Any, data: Dataset) -> Any:
        """Curvatures (m,) and unit directions (m, ...), largest first; the start favours no direction."""
        network = self.template.with_params(params)
        flat, shaped = ravel_pytree(params)
        start = shaped(jax.random.normal(jax.random.key(self.comparison.seed), flat.shape))
        values, parts = modes(gauss_newton(network, data).product, start, ITERATIONS)
        rows = jax.vmap(lambda part: ravel_pytree(part)[0])(parts)[::-1][:MODES]
        rows /= jnp.maximum(jnp.linalg.norm(rows, axis=-1, keepdims=True), 1e-30)  # a space may be exhausted
        return values[::-1][:MODES], jax.vmap(shaped)(rows)

    def _supply(self, method: Method, data: Dataset, seed: Any) -> ExtraData:
        """Documents of pretraining for every step, and the exact tempered posterior, where a method asks."""
        replay = teacher = None
        if "replay" in method.needs:
            key = jax.random.fold_in(jax.random.key(self.comparison.seed), random_streams.REPLAY)
            key = jax.random.fold_in(key, seed)
            steps, batch = self.comparison.steps, self.comparison.batch
            source = self.process if self.comparison.replayed is None else self.comparison.replayed
            tokens = source.sample(key, steps * batch).reshape(steps, batch, -1)
            replay = Dataset(tokens, jnp.broadcast_to(self.comparison.process.answer_mask(), tokens.shape))
        if "teacher" in method.needs:
            teacher = TemperedPosterior().predict(self.process, data, self.comparison.teacher)
        return ExtraData(replay, teacher, seed)

    def _weighted(
        self, each: contenders.Weighted, betas: Any, tokens: Any, params: Any, data: Dataset
    ) -> Any:
        network = self.template.with_params(params)
        key = jax.random.fold_in(jax.random.key(self.comparison.seed), random_streams.THEORY)
        drawn = self.process.sample(key, DOCUMENTS)
        documents = Dataset(drawn, jnp.ones(drawn.shape, bool))
        theory, part = each.make(network, data, documents, key), self.comparison.process.answer_tokens
        prior = each.prepared(network)

        def one(beta: Any) -> Any:
            return answers_at(theory.predict(prior, data, beta * each.prior_precision, key=key), tokens, part)

        return jax.lax.map(one, betas, batch_size=len(betas))

    def _proximal(self, betas: Any, tokens: Any, params: Any, data: Dataset) -> Any:
        theory = Proximal()
        network = self.template.with_params(params)
        solutions, residuals = theory.solve(network, data, betas)
        return self._answers(network.with_params(solutions), tokens), residuals

    def _read(self, tokens: Any, params: Any) -> Any:
        return self._answers(self.template.with_params(params), tokens)

    def _observe(self, tokens: Any, params: Any) -> Any:
        look: Any = self.comparison.observe
        return jax.lax.map(lambda network: look(network, tokens), self.template.with_params(params))

    def _answers(self, stacked: Any, tokens: Any) -> Any:
        """Answers of predictors with a leading axis, one after the other (memory for one)."""
        part = self.comparison.process.answer_tokens
        return jax.lax.map(lambda predictor: answers_at(predictor, tokens, part), stacked)

    def _exact(self, process: Mixture, tokens: Any) -> Any:
        part = self.comparison.process.answer_tokens
        components = jax.nn.log_softmax(process.component_log_probs(tokens)[..., part], axis=-1)
        return components, process.evidence(tokens), answers_at(process, tokens, part)

    def _ladder(self, theory: Any, betas: Any, prior: Any, data: Dataset, tokens: Any) -> Any:
        """Answers of a closed-form theory, (s, b, n, t, a)."""
        part = self.comparison.process.answer_tokens
        kind = id(theory), type(prior)  # the theories live as long as the bench
        if kind not in self._ladders:

            def all_seeds(prior: Any, data: Dataset, betas: Any, tokens: Any) -> Any:
                def one(data: Dataset) -> Any:
                    return ladder(theory, prior, data, betas, lambda told: answers_at(told, tokens, part))

                return jax.lax.map(one, data)

            self._ladders[kind] = jax.jit(all_seeds, compiler_options=compiler_options())
        return self._ladders[kind](prior, data, jnp.asarray(betas), tokens)

    # inputs

    def _contexts(self, arm: Arm) -> tuple[np.ndarray, Any, Arrays]:
        tokens, where, groups = self.written.contexts(arm)
        return self._padded(tokens), where, groups

    def _padded(self, tokens: np.ndarray) -> np.ndarray:
        return np.pad(tokens, ((0, self.rows - tokens.shape[0]), (0, 0)))

    def _repeat(self, params: Any) -> Any:
        return jax.tree.map(lambda leaf: np.stack([np.asarray(leaf)] * self.comparison.seeds), params)

    def _proximal_times(self) -> np.ndarray:
        """τ from 0 past every η × steps, an octave apart."""
        longest = max(
            np.concatenate([[0.0], *(clock.times(method, self.comparison.doses).values())]).max()
            for method in self.comparison.methods.values()
        )
        top = max(3, int(np.ceil(np.log2(max(longest, 1.0)))) + 1)
        return np.concatenate([[0.0], 2.0 ** np.arange(-8.0, top + 1)]).astype(np.float32)

    def _held_prior(self, network: Network) -> Mixture:
        """The process with the weights that the base network acts on: fitted to its answers to the probes."""
        tokens, where = (
            self._padded(self.elicitation_contexts.tokens),
            np.nonzero(self.elicitation_contexts.mask),
        )
        components, evidence, _ = (np.asarray(told) for told in self.exact(self.process, tokens))
        told = self.read(tokens, jax.tree.map(lambda leaf: leaf[None, None], network.params))[0][0]
        weights, _ = fit_weights(told[where][None], components[:, *where], evidence[:, *where])
        return self.process.with_log_weights(jnp.log(jnp.maximum(jnp.asarray(weights[0]), 1e-12)))


def _first(kind: str, tree: Any) -> Arrays:
    """The first seed's weights out of a stack, by place."""
    return {
        f"{kind}/{jax.tree_util.keystr(path[:-1], simple=True, separator='.')}": leaf[0]
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)  # a path ends in .value
    }


def _unhealthy(arrays: Arrays, doses: Sequence[int]) -> str:
    """Why a cell has no result: the first place where a network stopped being finite."""
    for name in ("finetuned", "twin"):
        if name in arrays and not np.isfinite(arrays[name]).all():
            seed, dose = np.argwhere(~np.isfinite(arrays[name]).all(axis=(2, 3)))[0]
            return f"Non-finite answers of the {name} network of seed {seed} at dose {doses[dose]}."
    return ""
