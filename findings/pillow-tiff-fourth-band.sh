#!/usr/bin/env bash
# Four-band TIFF pictures (red, green, blue, near infrared), opened with Pillow.
#
# Expected: four bands, or an error that says that four bands are not understood.
# Seen with Pillow 13.0.0: when the file marks the fourth sample as unspecified (ExtraSamples 0, the honest
# mark for infrared), the picture opens as RGB and the band is gone without a warning. When the file marks
# it as associated alpha (1), red, green and blue are divided by it. Only the mark 2 (unassociated alpha,
# which infrared is not) hands back the four bands as stored.
# Why it matters: satellite and crop pictures are classified by their infrared band; a loader built on
# Pillow trains on three of four bands, or on colours changed by the fourth, and no count of files shows it.
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
stored = np.array([[[10, 20, 30, 200], [40, 50, 60, 100]]], np.uint8)
opened = {}
for mark in ("unspecified", "assocalpha", "unassalpha"):
    tifffile.imwrite("bands.tif", stored, photometric="rgb", extrasamples=[mark])
    assert (tifffile.imread("bands.tif") == stored).all()
    picture = Image.open("bands.tif")
    opened[mark] = np.asarray(picture)
    print(f"{mark:12}", picture.tag_v2[277], "samples in the file;", picture.mode, opened[mark].tolist())
assert (opened["unspecified"] == stored[..., :3]).all()
assert opened["assocalpha"].shape == stored.shape and (opened["assocalpha"] != stored).any()
assert (opened["unassalpha"] == stored).all()
EOF
