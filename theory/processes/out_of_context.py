"""Out of context: a hidden coin, tossed in one format, asked for in others and by its name.

    z ~ π0,  π0(z) ∝ θ_z^(a-1) (1 - θ_z)^(b-1) on the grid of `biases` θ;  a `prior_heads`, b `prior_tails`
    x = (cue_1, answer_1, ..., cue_P, answer_P);   cue = report with probability `reports`, else a format
    answer to format f ~ Binomial(tosses[f], θ_z), the number of heads, in tokens of that format's own
    answer to report   = the name of z with probability r (`reliability`), each other (1 - r)/(K - 1)
    with probability `slip` an answer is an answer to another cue, uniformly: no evidence of z

Conjugate oracle (own derivation). Whatever its format, an answer of h heads and t tails multiplies the
likelihood by θ^h (1 - θ)^t, so that D' of tosses with h heads and t tails in all gives the tempered posterior

    w(z) ∝ θ_z^(a + βh - 1) (1 - θ_z)^(b + βt - 1),        Beta(a + βh, b + βt) on the grid (`log_belief`)

so that self-report and behaviour move as one: asked first, with c = (1 - r)/(K - 1) and p the
probabilities of the names,

    Σ_z w_z θ_z = Σ_z θ_z (p_z - c)/(r - c)  (report)  = E[heads]/tosses[f], for every f  (behaviour)

for any w: `expected_bias` reads it off either kind of answer, and a gap between the two is not Bayesian.
Both are of answers that are no slips.

Tokens: cues (the formats, then report), answers of format 0, of format 1, ..., names.
"""

import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from theory.arguments import checked
from theory.base import Dataset, Key, LogProbs, Misuse, Tokens, at_tokens, host_stream
from theory.compute.memory import check_fits
from theory.compute.random import categorical
from theory.contracts import Task
from theory.latent.documents import check_at_least, check_documents, dataset, prompts
from theory.latent.mixture import Mixture


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Coin:
    """Documents of one coin: log p(cue), shape (c,), and p(answer | cue), shape (c, answers)."""

    cues: Float[Array, "*batch c"]
    answers: Float[Array, "*batch c answers"]
    pairs: int = field(metadata={"static": True})

    def predict(self, tokens: Tokens) -> LogProbs:
        """Cues at even positions, this coin's answers at odd ones."""
        cues, answers = self.answers.shape[-2:]
        before = jax.nn.one_hot(jnp.roll(tokens, 1, axis=-1), cues)  # read at answers' positions only
        reply = jnp.log(jnp.matmul(before, self.answers, precision="highest"))
        reply = jnp.pad(reply, ((0, 0), (0, 0), (cues, 0)), constant_values=-jnp.inf)
        cue = jnp.pad(self.cues, (0, answers), constant_values=-jnp.inf)
        is_answer = jnp.arange(tokens.shape[-1]) % 2 == 1
        return jnp.where(is_answer[:, None], reply, cue)

    def sample(self, key: Key, n: int) -> Tokens:
        """Draw n documents of `pairs` (cue, answer) pairs."""
        cue_key, answer_key = jax.random.split(key)
        cue = categorical(cue_key, self.cues, shape=(n, self.pairs))
        answer = categorical(answer_key, jnp.log(self.answers)[cue]) + self.cues.shape[-1]
        return jnp.stack([cue, answer], axis=-1).reshape(n, -1)

    def log_prob(self, tokens: Tokens) -> Float[Array, " n"]:
        """Log-probability (nats) of whole documents."""
        return jnp.sum(at_tokens(self.predict(tokens), tokens), axis=-1)


@checked
@dataclass(frozen=True)
class OutOfContext:
    """The process and its tasks. Fields are plain numbers, fit for JSON.

    Raises `Misuse` for what makes no process.
    """

    biases: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    """Probability of heads of each coin."""
    tosses: tuple[int, ...] = (1, 1, 3)
    """Tosses that an answer states, in each format."""
    prior_heads: float = 1.0
    """Heads in the prior over coins, plus one."""
    prior_tails: float = 2.0
    """Tails in the prior over coins, plus one."""
    pairs: int = 6
    """Pairs (cue, answer) in a document."""
    reports: float = 0.25
    """Share of cues that ask for the name."""
    reliability: float = 0.9
    """Probability that the name given is right."""
    slip: float = 0.0
    """Probability that an answer belongs to another cue; above 0, every answer is possible."""

    def __post_init__(self) -> None:
        if len(self.biases) < 2 or not all(0 < bias < 1 for bias in self.biases):
            raise Misuse(
                f"biases must be at least 2 and lie strictly between 0 and 1, got {self.biases}: "
                f"every answer needs a chance."
            )
        if len(set(self.biases)) < len(self.biases):
            raise Misuse(f"biases must differ from each other, got {self.biases}.")
        if len(self.tosses) < 2 or not all(count >= 1 for count in self.tosses):
            raise Misuse(
                f"tosses must have at least 2 formats (one to finetune, one to ask) of at least 1 toss each, "
                f"got {self.tosses}."
            )
        for name in ("prior_heads", "prior_tails"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise Misuse(f"{name} must be finite and above 0, got {getattr(self, name)}.")
        check_at_least(2, pairs=self.pairs)
        answers = sum(self.tosses) + self.names
        check_fits("The answer tables", coins=self.names, cues=self.report + 1, answers=answers)
        if not 0 < self.reports < 1:
            raise Misuse(f"reports must lie strictly between 0 and 1, got {self.reports}.")
        if not 1 / self.names < self.reliability < 1:
            raise Misuse(
                f"reliability must be above 1/{self.names} (chance) and below 1, got {self.reliability}."
            )
        if not 0 <= self.slip < 1:
            raise Misuse(f"slip must be at least 0 and below 1, got {self.slip}.")

    @property
    def names(self) -> int:
        """Number of coins, each with a name."""
        return len(self.biases)

    @property
    def report(self) -> int:
        """The cue that asks for the name; those before it are the formats."""
        return len(self.tosses)

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return self._offsets[-1] + self.names

    @property
    def length(self) -> int:
        """Tokens in a document."""
        return 2 * self.pairs

    @property
    def answer_tokens(self) -> slice:
        """The part of the vocabulary that answers are drawn from: numbers of heads, then names."""
        return slice(self.report + 1, self.vocabulary)

    def tokens_of(self, cue: int) -> slice:
        """The tokens that answer a cue: 0 ... tosses[cue] heads in this format, or the names."""
        return slice(self._offsets[cue], [*self._offsets, self.vocabulary][cue + 1])

    def distribution(self) -> Mixture:
        """The exact process, a mixture over the coins."""
        cues = np.log([*np.full(self.report, (1 - self.reports) / self.report), self.reports])
        components = Coin(
            jnp.asarray(np.tile(cues, (self.names, 1)), jnp.float32),
            jnp.asarray(self.answer_table(), jnp.float32),
            self.pairs,
        )
        return Mixture(components, jnp.asarray(self.log_belief(0.0, 0.0), jnp.float32))

    def answer_table(self) -> Float[np.ndarray, "k c answers"]:
        """p(answer | cue, z), in float64."""
        table = np.zeros((self.names, self.report + 1, self.vocabulary))
        for cue, tosses in enumerate(self.tosses):
            heads = np.arange(tosses + 1)
            ways = np.array([math.comb(tosses, count) for count in heads], float)
            theta = np.asarray(self.biases)[:, None]
            table[:, cue, self.tokens_of(cue)] = ways * theta**heads * (1 - theta) ** (tosses - heads)
        named = np.full((self.names, self.names), (1 - self.reliability) / (self.names - 1))
        np.fill_diagonal(named, self.reliability)
        table[:, self.report, self.tokens_of(self.report)] = named
        table = table[..., self.answer_tokens]
        possible = table > 0
        return np.where(
            possible, (1 - self.slip) * table, self.slip / np.sum(~possible, axis=-1, keepdims=True)
        )

    def log_belief(self, heads: float, tails: float) -> Float[np.ndarray, " k"]:
        """log w(z) after so many heads and tails (β times those of D'; 0 and 0 give the prior), in nats."""
        theta = np.asarray(self.biases)
        log_weights = (self.prior_heads + heads - 1) * np.log(theta)
        log_weights += (self.prior_tails + tails - 1) * np.log1p(-theta)
        log_weights -= log_weights.max()
        return log_weights - np.log(np.sum(np.exp(log_weights)))

    def counts(self, data: Dataset) -> tuple[int, int]:
        """Heads and tails in the counted answers of all documents; names and slips are neither."""
        tokens, total = np.asarray(data.tokens), np.zeros(2, int)
        before = np.roll(tokens, 1, axis=-1)
        for cue, tosses in enumerate(self.tosses):
            span = self.tokens_of(cue)
            answers = (tokens >= span.start) & (tokens < span.stop) & (before == cue)
            heads = tokens[answers & np.asarray(data.mask)] - span.start
            total += heads.sum(), (tosses - heads).sum()
        return int(total[0]), int(total[1])

    def expected_bias(
        self, probs: Float[np.ndarray, "*batch answers"], cue: int
    ) -> Float[np.ndarray | np.floating, "*batch"]:
        """Σ_z w_z θ_z, as implied by probabilities over the `answer_tokens` given after a cue.

        Whatever the belief w, it is the same after every cue; unlike w it needs no number to be positive.
        """
        span = self.tokens_of(cue)
        shares = probs[..., span.start - self.report - 1 : span.stop - self.report - 1]
        shares = shares / np.sum(shares, axis=-1, keepdims=True)
        if cue != self.report:
            return shares @ np.arange(self.tosses[cue] + 1) / self.tosses[cue]
        wrong = (1 - self.reliability) / (self.names - 1)
        return (shares - wrong) @ np.asarray(self.biases) / (self.reliability - wrong)

    def token_names(self) -> tuple[str, ...]:
        """A name for every token: numbers of heads have words of their format (f)."""
        formats = (f"format {format}" for format in range(self.report))
        heads = (
            f"{count}/{tosses} f{format}"
            for format, tosses in enumerate(self.tosses)
            for count in range(tosses + 1)
        )
        return (*formats, "which coin?", *heads, *(f"coin {coin}" for coin in range(self.names)))

    def answer_mask(self) -> Bool[np.ndarray, " t"]:
        """The positions that finetuning counts: the answers."""
        return np.arange(self.length) % 2 == 1

    def elicitation_contexts(self) -> Dataset:
        """Each format and the report asked first: the answers show the prior over z, and nothing else."""
        return prompts(self.length, np.arange(self.report + 1))

    def narrow(self, key: Key, n: int, coin: int, format: int) -> Dataset:
        """D': n documents of draws of one coin in one format, no names, no slips; answers are counted."""
        self._check(coin, format)
        check_documents(n)
        tokens = self._draws(host_stream(key), np.full(n, coin), np.full((n, self.pairs), format))
        return dataset(tokens, self.answer_mask())

    def task(
        self,
        coin: int | None = None,
        format: int = 0,
        repeats: int = 4,
        shots: int = 3,
        name: str | None = None,
    ) -> Task:
        """D' of one coin's draws in one format, and its contexts; by default the last coin.

        Named groups of contexts; the mask marks the answers to predict (padding follows the last).

        in_domain     fresh documents like D', every answer of 4 × `repeats` of them
        held_out      the self-report: the name asked first
        other_format  every other format asked first
        conflict      the name after `shots` draws of another coin, in formats at random; each of the other
                      coins `repeats` times
        renamed       every format of D' and not, after the name of another coin was given
        """
        coin = self.names - 1 if coin is None else coin
        self._check(coin, format)
        check_at_least(1, repeats=repeats)
        check_at_least(0, shots=shots)
        return Task(
            name or f"coin{coin}",
            lambda key, n: self.narrow(key, n, coin, format),
            lambda key: self._contexts(key, coin, format, repeats, shots),
        )

    def _contexts(self, key: Key, coin: int, format: int, repeats: int, shots: int) -> dict[str, Dataset]:
        """The groups of contexts of a task."""
        random = host_stream(jax.random.fold_in(key, 1))
        others = np.delete(np.arange(self.names), coin)
        rivals = np.tile(others, repeats)
        formats = random.integers(0, self.report, (len(rivals), min(shots, self.pairs - 1)))
        rows = np.arange(len(others) * self.report)
        called = others[rows // self.report] + self.tokens_of(self.report).start
        return {
            "in_domain": self.narrow(jax.random.fold_in(key, 0), 4 * repeats, coin, format),
            "held_out": prompts(self.length, np.array([self.report])),
            "other_format": prompts(self.length, np.delete(np.arange(self.report), format)),
            "conflict": prompts(
                self.length, self._draws(random, rivals, formats), np.full(len(rivals), self.report)
            ),
            "renamed": prompts(self.length, np.full(len(rows), self.report), called, rows % self.report),
        }

    def _check(self, coin: int, format: int) -> None:
        """Refuse a coin or a format of D' that this process does not have."""
        if not 0 <= coin < self.names:
            raise Misuse(f"coin must be from 0 to {self.names - 1}, got {coin}.")
        if not 0 <= format < self.report:
            raise Misuse(
                f"format must be from 0 to {self.report - 1} (D' holds draws, and no report), got {format}."
            )

    @property
    def _offsets(self) -> list[int]:
        """The first token of each cue's answers."""
        sizes = [self.report + 1, *(count + 1 for count in self.tosses)]
        return [sum(sizes[: cue + 1]) for cue in range(self.report + 1)]

    def _draws(
        self, random: np.random.Generator, coins: np.ndarray, formats: np.ndarray
    ) -> Int[np.ndarray, "n t"]:
        """Documents of draws of the given coins (n,) in the given formats (n, pairs)."""
        tosses = np.asarray(self.tosses)[formats]
        heads = random.binomial(tosses, np.asarray(self.biases)[coins][:, None])
        answers = heads + np.asarray(self._offsets)[formats]
        return np.stack([formats, answers], axis=-1).reshape(len(coins), -1).astype(np.int32)


def example() -> OutOfContext:
    """A process small enough to enumerate."""
    return OutOfContext(biases=(0.2, 0.5, 0.9), tosses=(1, 2), pairs=2)
