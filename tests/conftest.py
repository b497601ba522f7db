"""Two CPU devices for every test, set before any jax computation."""

import jax

jax.config.update("jax_num_cpu_devices", 2)
