"""Studies, results on disk, scores, figures and the command line."""

import os

# On some CPUs every program out of jax's cache is announced as an error (jax-ml/jax issue 38445). It is read
# when jax is loaded.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
