"""Studies, results on disk, scores, figures and the command line."""

import os

# On some CPUs every program out of jax's cache is announced as an error (jax-ml/jax issue 38445). It is read
# when jax is loaded; where that has been, by this process's children, and jax has set its own default, 1.
if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
