"""Two CPU devices, and every annotation of the packages checked at run time, shapes included.

Most programs of the tests compile for longer than they run: the compiler leaves most of its work, and what
tracing makes is not searched for garbage all the time (a tenth of the theory suite's time).
"""

import gc
import os

import beartype.typing  # noqa: F401  (named in the string below)
import jax
from jaxtyping import install_import_hook

if jax.__version_info__[:2] == (0, 10):  # a flag that another version does not know would end the process
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false".strip()
gc.set_threshold(100_000, 20, 100)
jax.config.update("jax_disable_most_optimizations", True)
jax.config.update("jax_num_cpu_devices", 2)

# beartype cannot see the class around a method decorated on its own, so Self goes unchecked
_CHECK = """beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True,
    hint_overrides=beartype.FrozenDict({beartype.typing.Self: object})))"""
install_import_hook(["theory", "models"], _CHECK)
