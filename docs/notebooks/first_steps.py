# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # First steps: what does a finetuned network believe?
#
# Pretrain a transformer on a process whose exact Bayesian predictor is known, finetune it on narrow data,
# and compare what theories say about its answers on *other* contexts. Everything here stays in memory, and
# takes about a minute on two cores.

# %%
import numpy as np

import finebayes as fb

# %% [markdown]
# ## A process
#
# A document has one hidden persona, who answers questions on topics. To predict the next answer, infer the
# persona from the answers so far: that is what pretraining should teach. (`fb.processes` has more of them.)

# %%
process = fb.processes.PersonaTopics(personas=5, topics=7)
process

# %% [markdown]
# ## A base network
#
# `learnt` is the share of that inference which it has learnt: 1 for the exact predictor, 0 for one that
# never infers the persona.

# %%
network = fb.pretrain(process, width=32, seed=0)
network

# %%
network.learnt

# %% [markdown]
# ## Finetuning
#
# D′ is 32 documents of the rarest persona, on one topic. A *dose* is a number of finetuning steps. Each of
# four seeds has a D′ and an order of its own, and a replica that meets the same D′ in another order: where
# these two differ, no theory that sees D′ alone can tell more.

# %%
task = process.task(persona=4, topics=[0])
tuned = fb.finetune(network, task, fb.methods.Adam(3e-4), n=32, doses=[1, 4, 16, 64], seeds=4)
tuned

# %% [markdown]
# Did narrow data change the answers on topics that D′ does not have? The records are tidy: a line for each
# dose, group of contexts, question and answer (`tuned.frame()` makes a pandas DataFrame of them).

# %%
for record in tuned.records():
    if record["group"] == "held_out" and record["question"] == "topic 1":
        print(f"dose {record['dose']:3d}   {record['answer']}   {record['probability']:.3f}")

# %% [markdown]
# ## Theories
#
# Does the network update its belief about the persona (a tempered posterior), or does it move as its linear
# expansion in its weights does? *Explained* is 1 for a theory that is right, 0 for one no better than
# "nothing changed". A *forecast* has no fitted number; *fitted* has one for each network, chosen on
# contexts like D′.

# %%
result = fb.compare(tuned, theories=[fb.theories.TemperedPosterior(), fb.theories.Linearised()])
result.table()

# %%
result.plot()

# %% [markdown]
# ## A theory of your own
#
# A theory takes a prior, D′ and a strength β, and returns a predictor. The type of its prior says where it
# starts: `fb.Distribution` is the process. This one counts D′ once, however often it is met.


# %%
class OnePass(fb.Theory[fb.Distribution]):
    """Bayes on D′, which counts once at most."""

    def predict(self, prior: fb.Distribution, data: fb.Dataset, beta, *, key=None):
        """The process, conditioned on D′ with strength β."""
        return prior.condition(data, beta)

    def strength(self, training, scale):
        """Passes over D′ at every dose, at most 1: the forecast."""
        return np.minimum(training.passes, 1.0)


fb.compare(tuned, theories=[OnePass(), "tempered-posterior", "linearised"]).table()

# %% [markdown]
# ## A study
#
# A study is all of this with its seeds, contexts and figures fixed, so that others can repeat it. `fb.run`
# gives the same bytes as `finebayes run weird-generalisation --preset smoke`, in a folder that the same
# call finds again.

# %%
run = fb.run("weird-generalisation", preset="smoke")
run

# %%
run.figure()
