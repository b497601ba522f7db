"""Balls and urns: known urns to memorise, new ones to learn from their draws.

    u ~ π0,  π0(new) = fresh,  π0(d) ∝ (1 - fresh) rarity^d    for the D urns d that exist
    x = (drawer_1, colour_1, ..., drawer_P, colour_P),   drawer ~ uniform,   colour ~ urn u's drawer
    every drawer of every urn ~ Dirichlet(concentration, ..., concentration); the D urns are drawn from `seed`

The generalising predictor integrates the new urn out (Dirichlet-multinomial), the memorising one mixes the D:

    p(c | drawer, draws so far) = (b_c + r n_c) / (1 + r Σ n)        n_c: colours c seen in this drawer
    one urn:      b = its drawer, r = 0;     a new urn:  b = 1/C, r = 1 / (C concentration)

so an urn is a Pólya urn that does not learn, and all are one stack. On spreading: an urn is
known in all its drawers once it is known in one, but drawers of a new urn are independent. D' from a known
urn therefore moves the drawers it never opens, D' from a new urn leaves them at the uniform 1/C: if it is
taken for new, which takes more nats a document from the nearest known urn than learning an urn anew costs.

Wurgaft et al., arXiv 2506.17859 (one drawer and fresh = 0 there: the drawers are our addition). Their two
predictors are `strategies()`, and `strategy_lengths()` what theory.theories.complexity_prior weighs them by;
with `predictors()`, that theory makes them out of the components.

Tokens: drawers are 0 ... drawers-1, colours follow. Position 2i holds a drawer, position 2i+1 a colour.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from theory.arguments import checked
from theory.base import Dataset, Key, LogProbs, Misuse, Tokens, at_tokens, host_stream
from theory.compute.memory import check_fits
from theory.compute.random import categorical, sample_on_host
from theory.contracts import Task
from theory.latent.documents import check_at_least, check_documents, dataset, listed, prompts
from theory.latent.mixture import Mixture


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Urn:
    """One urn, known or new: `base` is b, shape (drawers, colours), `learning` is r."""

    base: Float[Array, "*batch drawers colours"]
    learning: Float[Array, "*batch"]
    pairs: int = field(metadata={"static": True})

    def predict(self, tokens: Tokens) -> LogProbs:
        """Uniform over drawers at even positions, this urn's colours at odd ones."""
        drawers, colours = self.base.shape[-2:]
        drawer = jax.nn.one_hot(jnp.roll(tokens, 1, axis=-1), drawers)  # read at colours' positions only
        colour = jax.nn.one_hot(tokens - drawers, colours)
        is_colour = jnp.arange(tokens.shape[-1]) % 2 == 1
        earlier = jnp.tril(jnp.outer(is_colour, is_colour), -1)
        # A new urn is learnt from the colours that the same drawer has shown before.
        matches = jnp.einsum("nid,njd->nij", drawer, drawer) * earlier
        seen = jnp.einsum("nij,njc->nic", matches, colour)
        known = jnp.matmul(drawer, self.base, precision="highest")
        mass = known + self.learning * seen
        total = 1 + self.learning * jnp.sum(seen, axis=-1, keepdims=True)
        reply = jnp.log(jnp.where(is_colour[:, None], mass / total, 1.0))
        reply = jnp.pad(reply, ((0, 0), (0, 0), (drawers, 0)), constant_values=-jnp.inf)
        opened = jnp.pad(
            jnp.full((drawers,), -jnp.log(float(drawers))), (0, colours), constant_values=-jnp.inf
        )
        return jnp.where(is_colour[:, None], reply, opened)

    def sample(self, key: Key, n: int) -> Tokens:
        """Draw n documents of `pairs` (drawer, colour) pairs; a new urn is new in every document."""
        drawer_key, colour_key = jax.random.split(key)
        drawers, colours = self.base.shape[-2:]
        opened = categorical(drawer_key, jnp.zeros(drawers), shape=(self.pairs, n))

        def draw(seen: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
            drawer = jax.nn.one_hot(now[0], drawers)[..., None]
            mass = jnp.sum(drawer * (self.base + self.learning * seen), axis=1)
            drawn = categorical(now[1], jnp.log(mass))
            return seen + drawer * jax.nn.one_hot(drawn, colours)[:, None], drawn

        keys = jax.random.split(colour_key, self.pairs)
        _, drawn = jax.lax.scan(draw, jnp.zeros((n, drawers, colours)), (opened, keys))
        return jnp.stack([opened.T, drawn.T + drawers], axis=-1).reshape(n, -1)

    def log_prob(self, tokens: Tokens) -> Float[Array, " n"]:
        """Log-probability (nats) of whole documents."""
        return jnp.sum(at_tokens(self.predict(tokens), tokens), axis=-1)


@checked
@dataclass(frozen=True)
class Urns:
    """The process and its tasks. Fields are plain numbers, fit for JSON.

    Urn number `urns` is a new one, of which pretraining knows nothing. Raises `Misuse` for sizes that make
    no process.
    """

    urns: int = 4
    """Known urns D, with prior proportional to rarity^d."""
    drawers: int = 3
    """Drawers of an urn."""
    colours: int = 5
    """Colours of the balls."""
    pairs: int = 8
    """Pairs (drawer, colour) in a document."""
    concentration: float = 0.5
    """Concentration of the Dirichlet prior of each drawer's colours; a small one is extreme."""
    fresh: float = 0.25
    """Share of pretraining documents whose urn is new."""
    rarity: float = 0.7
    """Prior of each known urn over that of the one before."""
    seed: int = 2
    """Seed of the known urns."""

    def __post_init__(self) -> None:
        check_at_least(2, urns=self.urns, drawers=self.drawers, colours=self.colours, pairs=self.pairs)
        check_fits("The tables of urns", urns=self.urns + 1, drawers=self.drawers, colours=self.colours)
        if not 0.1 <= self.concentration < np.inf:
            raise Misuse(
                f"concentration must be finite and at least 0.1, got {self.concentration}: below that, rare "
                "colours round to probability 0."
            )
        if not 0 < self.fresh < 1:
            raise Misuse(f"fresh must be between 0 and 1, both left out, got {self.fresh}.")
        if not 0 < self.rarity <= 1:
            raise Misuse(f"rarity must be in (0, 1], got {self.rarity}: π0(d) ∝ rarity^d.")

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return self.drawers + self.colours

    @property
    def length(self) -> int:
        """Tokens in a document."""
        return 2 * self.pairs

    @property
    def answer_tokens(self) -> slice:
        """The part of the vocabulary that answers are drawn from: the colours."""
        return slice(self.drawers, self.vocabulary)

    def distribution(self) -> Mixture:
        """The exact process, a mixture of the D urns and, last, a new one in every document."""
        known = self.urn_table()[: self.urns]
        base = np.concatenate([known, np.full_like(known[:1], 1 / self.colours)])
        learning = np.append(np.zeros(self.urns), 1 / (self.colours * self.concentration))
        components = Urn(jnp.asarray(base, jnp.float32), jnp.asarray(learning, jnp.float32), self.pairs)
        prior = np.append(np.arange(self.urns) * np.log(self.rarity), 0.0)
        prior[:-1] += np.log(1 - self.fresh) - np.log(np.sum(np.exp(prior[:-1])))
        prior[-1] = np.log(self.fresh)
        return Mixture(components, jnp.asarray(prior, jnp.float32))

    def memorising(self) -> Mixture:
        """The memorising predictor: a document is from one of the D urns."""
        every = self.distribution()
        return every.with_log_weights(jnp.where(self._is_new(), -jnp.inf, every.log_weights))

    def generalising(self) -> Mixture:
        """The generalising predictor: a document is from an urn that nobody has seen."""
        every = self.distribution()
        return every.with_log_weights(jnp.where(self._is_new(), every.log_weights, -jnp.inf))

    def strategies(self) -> Mixture:
        """The same process as a mixture of two components, [memorising, generalising].

        Conditioning weighs the strategies, and leaves open which urn each document is from.
        """
        components = jax.tree.map(lambda *leaves: jnp.stack(leaves), self.memorising(), self.generalising())
        return Mixture(components, jnp.log(jnp.asarray([1 - self.fresh, self.fresh], jnp.float32)))

    def predictors(self) -> tuple[int, ...]:
        """The index of the strategy that each component of `distribution()` is a part of."""
        return (0,) * self.urns + (1,)

    def description_lengths(self, bits: float = 4.0) -> tuple[float, ...]:
        """Bits to write down each component of `distribution()`, `bits` a number: tables, concentration."""
        if not 0 <= bits < np.inf:
            raise Misuse(f"bits must be finite and at least 0, got {bits}.")
        return (self.drawers * (self.colours - 1) * bits,) * self.urns + (bits,)

    def strategy_lengths(self, bits: float = 4.0) -> tuple[float, float]:
        """Bits to write down each component of `strategies()`: all D tables, or the concentration."""
        *known, new = self.description_lengths(bits)
        return sum(known), new

    def urn_table(self) -> np.ndarray:
        """p(colour | drawer, urn), shape (urns + 1, drawers, colours), in float64; the new urn is last."""
        random = np.random.default_rng(self.seed)
        shape = (self.urns + 1, self.drawers)
        return random.dirichlet(np.full(self.colours, self.concentration), size=shape)

    def answer_mask(self) -> Bool[np.ndarray, " t"]:
        """The positions that finetuning counts: the colours."""
        return np.arange(self.length) % 2 == 1

    def token_names(self) -> tuple[str, ...]:
        """A name for every token."""
        drawers = (f"drawer {drawer + 1}" for drawer in range(self.drawers))
        return (*drawers, *(f"colour {colour + 1}" for colour in range(self.colours)))

    def elicitation_contexts(self) -> Dataset:
        """Each drawer opened first: the colours show the prior over the urns, and nothing else."""
        return prompts(self.length, np.arange(self.drawers))

    def narrow(self, key: Key, n: int, urn: int, drawers: Sequence[int]) -> Dataset:
        """D': n documents of one urn (`urns`: the new one) and the chosen drawers; only colours count."""
        self._check(urn, drawers)
        check_documents(n)
        random = host_stream(key)
        tokens = self._documents(random, np.full(n, urn), random.choice(drawers, (n, self.pairs)))
        return dataset(tokens, self.answer_mask())

    def task(
        self,
        urn: int | None = None,
        drawers: Sequence[int] = (0,),
        repeats: int = 4,
        shots: int = 4,
        name: str | None = None,
    ) -> Task:
        """D' of one urn and a few drawers, and its contexts; by default the rarest known urn.

        Named groups of contexts; the mask marks the colours to predict (padding follows the last).

        in_domain   fresh documents like D', every colour of 4 × `repeats` of them
        held_out    every drawer that D' never opens, opened first
        in_context  the same drawers after `shots` draws from D's own drawers of D's own urn
        conflict    the same drawers after `shots` draws from any drawer of another known urn, in turn
        unseen      the same drawers after `shots` draws from them, of an urn drawn anew for every context

        The last three ask every drawer `repeats` times.
        """
        urn = self.urns - 1 if urn is None else urn
        drawers = listed(drawers=drawers)
        self._check(urn, drawers)
        self.held_out(drawers)
        check_at_least(1, repeats=repeats, shots=shots)
        return Task(
            name or ("known" if urn < self.urns else "new"),
            lambda key, n: self.narrow(key, n, urn, drawers),
            lambda key: self._contexts(key, urn, drawers, repeats, shots),
        )

    def _contexts(
        self, key: Key, urn: int, drawers: Sequence[int], repeats: int, shots: int
    ) -> dict[str, Dataset]:
        """The groups of contexts of a task."""
        shots = min(shots, self.pairs - 1)
        held_out = np.asarray(self.held_out(drawers))
        random = host_stream(jax.random.fold_in(key, 1))
        queries = np.repeat(held_out, repeats)
        rows = (len(queries), shots)
        others = np.delete(np.arange(self.urns), urn) if urn < self.urns else np.arange(self.urns)
        shown = self._documents(random, np.full(len(queries), urn), random.choice(drawers, rows))
        rivals = others[np.arange(len(queries)) % len(others)]
        rival = self._documents(random, rivals, random.integers(0, self.drawers, rows))
        anew = random.dirichlet(np.full(self.colours, self.concentration), size=(len(queries), self.drawers))
        again = np.repeat(queries[:, None], shots, axis=1)
        unseen = self._documents(random, np.arange(len(queries)), again, anew)
        return {
            "in_domain": self.narrow(jax.random.fold_in(key, 0), 4 * repeats, urn, drawers),
            "held_out": prompts(self.length, held_out),
            "in_context": prompts(self.length, shown, queries),
            "conflict": prompts(self.length, rival, queries),
            "unseen": prompts(self.length, unseen, queries),
        }

    def held_out(self, drawers: Sequence[int]) -> list[int]:
        """The drawers that D' never opens; refuses to leave none."""
        others = [drawer for drawer in range(self.drawers) if drawer not in drawers]
        if not others:
            raise Misuse(f"No drawer is left to hold out: all {self.drawers} are in {list(drawers)}.")
        return others

    def _check(self, urn: int, drawers: Sequence[int]) -> None:
        """Refuse an urn or drawers of D' that this process does not have."""
        if not 0 <= urn <= self.urns:
            raise Misuse(f"urn must be from 0 to {self.urns - 1}, or {self.urns} for the new one, got {urn}.")
        if len(drawers) == 0:
            raise Misuse("D' needs at least one drawer, got none.")
        if len(set(drawers)) < len(drawers):
            raise Misuse(f"Drawers must differ from each other, got {list(drawers)}.")
        outside = [drawer for drawer in drawers if not 0 <= drawer < self.drawers]
        if outside:
            raise Misuse(f"Drawers must be from 0 to {self.drawers - 1}, got {outside}.")

    def _is_new(self) -> Bool[np.ndarray, " k"]:
        """Which component is the new urn."""
        return np.arange(self.urns + 1) == self.urns

    def _documents(
        self,
        random: np.random.Generator,
        urns: np.ndarray,
        drawers: np.ndarray,
        table: np.ndarray | None = None,
    ) -> np.ndarray:
        """Documents (n, 2 × pairs) of urns (n,) of a table, opened at the given drawers (n, pairs)."""
        table = self.urn_table() if table is None else table
        colours = sample_on_host(random, table[urns[:, None], drawers]) + self.drawers
        return np.stack([drawers, colours], axis=-1).reshape(len(drawers), -1).astype(np.int32)


def example() -> Urns:
    """A process small enough to enumerate."""
    return Urns(urns=2, drawers=2, colours=2, pairs=3)
