#!/usr/bin/env bash
# A 12-bit grey picture in a PGM file (maxval 4095), opened with Pillow.
#
# Expected: the samples of the file, 0...4095, as for a 12-bit picture in a 16-bit PNG or TIFF.
# Seen with Pillow 13.0.0: mode "I" with every sample multiplied by 65535/4095 and rounded; nothing in
# `mode` or `info` tells the scale. Maxval 15 is stretched to 0...255 in the same way.
# Why it matters: cameras and microscopes write PGM at their own depth. Whoever divides by 4095 gets pixels
# up to 16, and a set condensed from PGM files has another scale than one from the same pictures in PNG.
# Dividing by 65535 is right for this format, and only for this one.
set -euo pipefail

packages=(pillow==13.0.0 numpy==2.4.6)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
if command -v uv >/dev/null; then
  uv venv -q venv
  uv pip install -q --python venv/bin/python "${packages[@]}"
else
  python3 -m venv venv
  venv/bin/pip install -q "${packages[@]}"
fi

venv/bin/python - <<'EOF'
from importlib.metadata import version
import numpy as np
from PIL import Image

assert version("pillow") == "13.0.0", version("pillow")
camera = np.array([[0, 1, 2, 1000], [2047, 2048, 4094, 4095]], np.uint16)
with open("camera.pgm", "wb") as file:
    file.write(b"P5\n4 2\n4095\n" + camera.astype(">u2").tobytes())
Image.fromarray(camera).save("camera.png")

picture = Image.open("camera.pgm")
opened = np.asarray(picture)
print("in the file:", camera.ravel().tolist())
print("as PNG:     ", np.asarray(Image.open("camera.png")).ravel().tolist())
print("as PGM:     ", opened.ravel().tolist(), picture.mode, picture.info)
assert (np.asarray(Image.open("camera.png")) == camera).all()
with open("small.pgm", "wb") as file:
    file.write(b"P5\n4 1\n15\n" + bytes([0, 1, 14, 15]))
print("maxval 15, samples 0, 1, 14, 15:", np.asarray(Image.open("small.pgm")).ravel().tolist())
assert np.asarray(Image.open("small.pgm")).ravel().tolist() == [0, 17, 238, 255]
assert picture.mode == "I" and not picture.info
assert (opened == np.round(camera * (65535 / 4095))).all()
EOF
