#!/usr/bin/env bash
# The library of infinitely wide networks, installed as its own requirements allow.
#
# Expected: neural-tangents asks for a jax of at least some version and has no upper bound, so an installer takes the
# newest jax, and what is installed can be imported.
# Seen with neural-tangents 0.6.5 and jax 0.10.2, which its requirements allow: `import neural_tangents` raises
# ImportError, since the public name jax.core.Jaxpr that it takes is gone. With jax and jaxlib 0.4.30 and tf2jax 0.3.6
# the same version imports, and its kernel of a network with one hidden layer is that of the formula in 64 bits.
# Why it matters: kernel methods (KIP) are checked against this library. Unpinned it looks broken; the versions that
# stand here are ones with which it tells something.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
install() {
  local folder=$1
  shift
  if command -v uv >/dev/null; then
    uv venv -q "$folder"
    uv pip install -q --python "$folder/bin/python" "$@"
  else
    python3 -m venv "$folder"
    "$folder/bin/pip" install -q "$@"
  fi
}
install newest neural-tangents==0.6.5 jax==0.10.2 jaxlib==0.10.2
install older neural-tangents==0.6.5 jax==0.4.30 jaxlib==0.4.30 tf2jax==0.3.6

newest/bin/python - <<'EOF'
from importlib.metadata import requires, version

wanted = [one for one in requires("neural-tangents") if one.startswith("jax")]
print("neural-tangents", version("neural-tangents"), "asks for", wanted, "and is given jax", version("jax"))
assert not any("<" in one or "==" in one for one in wanted), wanted
try:
    import neural_tangents
except ImportError as error:
    print("ImportError:", error.msg.partition(" (")[0])
    assert "Jaxpr" in str(error), error
else:
    raise SystemExit("it can be imported now")
EOF

older/bin/python - <<'EOF'
import math
from importlib.metadata import version

import jax

jax.config.update("jax_enable_x64", True)
import numpy as np
from neural_tangents import stax

_, _, kernel = stax.serial(stax.Dense(1), stax.Relu(), stax.Dense(1))
x = np.random.default_rng(0).normal(size=(4, 6))
found = np.asarray(kernel(x, x, "nngp"))
# the arc-cosine kernel of degree 1, without biases, weights of variance 1 over the inputs
size = np.linalg.norm(x, axis=1) / math.sqrt(6)
angle = np.arccos(np.clip(x @ x.T / 6 / np.outer(size, size), -1, 1))
known = np.outer(size, size) * (np.sin(angle) + (math.pi - angle) * np.cos(angle)) / (2 * math.pi)
apart = np.abs(found - known).max()
print("with jax", version("jax"), "it imports; largest difference from the formula:", apart)
assert apart < 1e-7, apart
EOF
