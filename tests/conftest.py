"""Two CPU devices, and every annotation of the packages checked at run time, shapes included."""

import beartype.typing  # noqa: F401  (named in the string below)
import jax
from jaxtyping import install_import_hook

jax.config.update("jax_num_cpu_devices", 2)

# beartype cannot see the class around a method decorated on its own, so Self goes unchecked
_CHECK = """beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True,
    hint_overrides=beartype.FrozenDict({beartype.typing.Self: object})))"""
install_import_hook(["theory", "models"], _CHECK)
