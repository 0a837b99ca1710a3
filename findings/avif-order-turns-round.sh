#!/usr/bin/env bash
# The same small pictures in AVIF and in WebP, each in a file of its own and all in one.
#
# Expected: the codec that takes fewer bytes for one picture takes fewer for many. AVIF is the younger and
# better of the two, so it is the choice for both.
# Seen with Pillow 13.0.0 (libavif and libwebp as in its wheel) on 200 pictures of 32x32 cut from a photograph
# and put in random order, at one error: by itself a picture takes 455 bytes in AVIF and 239 in WebP; with all of
# them side by side in one picture each takes 142 bytes in AVIF and 158 in WebP.
# Why it matters: a condensed set has to be compared with what a codec makes of real images in the same bytes.
# Whoever codes each image by itself, as data sets are kept, chooses WebP and finds a baseline that is too weak:
# in one AVIF picture the same bytes hold 1.7 times as many.
set -euo pipefail

packages=(pillow==13.0.0 numpy==2.4.6 scikit-learn==1.8.0)
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
import io
from importlib.metadata import version

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

assert version("pillow") == "13.0.0", version("pillow")
photo = Image.fromarray(load_sample_image("china.jpg")).resize((640, 320), Image.Resampling.LANCZOS)
pixels = np.asarray(photo)
tiles = [pixels[y : y + 32, x : x + 32] for y in range(0, 320, 32) for x in range(0, 640, 32)]
# neighbours in a photograph continue each other, images of a set do not
order = np.random.default_rng(0).permutation(len(tiles))
rows = [np.concatenate([tiles[i] for i in order[r * 20 : r * 20 + 20]], axis=1) for r in range(10)]
sheet = np.concatenate(rows, axis=0)


def size(picture, codec, quality):
    out = io.BytesIO()
    Image.fromarray(picture).save(out, codec, quality=quality)
    return len(out.getvalue())


def error(picture, codec, quality):
    out = io.BytesIO()
    Image.fromarray(picture).save(out, codec, quality=quality)
    read = np.asarray(Image.open(out).convert("RGB"), dtype=float)
    return float(np.sqrt(((read - picture) ** 2).mean()))


limit = error(sheet, "WEBP", 50)
quality = next(q for q in range(20, 100) if error(sheet, "AVIF", q) <= limit)
found = {}
for codec, quality in (("AVIF", quality), ("WEBP", 50)):
    alone = sum(size(tile, codec, quality) for tile in tiles) / len(tiles)
    together = size(sheet, codec, quality) / len(tiles)
    found[codec] = (alone, together)
    print(
        f"{codec} at quality {quality}: {alone:.0f} bytes each in files of their own, {together:.0f} in one "
        f"picture (root mean square error there {error(sheet, codec, quality):.1f} of 255)"
    )
assert found["AVIF"][0] > 1.5 * found["WEBP"][0], found
assert found["AVIF"][1] < 0.95 * found["WEBP"][1], found
EOF
