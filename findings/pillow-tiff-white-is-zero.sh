#!/usr/bin/env bash
# Grey TIFF files whose tag PhotometricInterpretation is 0 (white is zero), as scanners and X-ray archives
# write them, opened with Pillow.
#
# Expected: the tag is followed at every depth, or at none.
# Seen with Pillow 13.0.0: 8-bit samples are inverted (0 becomes 255), 16-bit samples are not (0 stays 0);
# both pictures open without a warning.
# Why it matters: the same archive, exported once at 8 and once at 16 bits, gives a picture and its
# negative. A classifier trained on one and tested on the other sees inverted brightness, and a condensed
# set made of a mixed folder holds both. Read tag 262 and invert 16-bit pictures yourself.
set -euo pipefail

packages=(pillow==13.0.0 numpy==2.4.6 tifffile==2026.3.3)
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
import tifffile
from PIL import Image

assert version("pillow") == "13.0.0", version("pillow")
stored = {8: np.array([[0, 10, 255]], np.uint8), 16: np.array([[0, 10, 65535]], np.uint16)}
opened = {}
for bits, samples in stored.items():
    tifffile.imwrite(f"{bits}.tif", samples, photometric="miniswhite")
    picture = Image.open(f"{bits}.tif")
    assert picture.tag_v2[262] == 0
    opened[bits] = np.asarray(picture)
    print(bits, "bits:", samples.tolist(), "opens as", picture.mode, opened[bits].tolist())
assert (opened[8] == 255 - stored[8]).all()
assert (opened[16] == stored[16]).all()
EOF
