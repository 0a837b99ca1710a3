#!/usr/bin/env bash
# One picture in AVIF at one quality, as Pillow does it and with the encoder's measure of error named.
#
# Expected: "tune" says which error the encoder tries to keep low (ssim, psnr, iq) and shifts bits a little between
# parts of a picture; how many bits there are is said by "quality".
# Seen with Pillow 13.0.0 (libavif 1.4.2 with libaom, as in its wheel) on 200 pictures of 32x32 side by side: at
# quality 35 naming ssim or psnr makes the file half as large again and lowers the error, and naming iq changes no
# byte: it is what is used unasked, with steps of another size behind the same quality.
# Why it matters: coded real images are compared at equal bytes. A quality found with a program that names ssim or
# psnr stands for other bytes here, and two rows of "AVIF 35" are not the same baseline.
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
from PIL import Image, features
from sklearn.datasets import load_sample_image

assert version("pillow") == "13.0.0", version("pillow")
photo = Image.fromarray(load_sample_image("china.jpg")).resize((640, 320), Image.Resampling.LANCZOS)
pixels = np.asarray(photo)
tiles = [pixels[y : y + 32, x : x + 32] for y in range(0, 320, 32) for x in range(0, 640, 32)]
order = np.random.default_rng(0).permutation(len(tiles))
rows = [np.concatenate([tiles[i] for i in order[r * 20 : r * 20 + 20]], axis=1) for r in range(10)]
sheet = np.concatenate(rows, axis=0)


def coded(**options):
    out = io.BytesIO()
    Image.fromarray(sheet).save(out, "AVIF", quality=35, speed=4, **options)
    read = np.asarray(Image.open(out).convert("RGB"), dtype=float)
    return out.getvalue(), float(np.sqrt(((read - sheet) ** 2).mean()))


plain, error = coded()
print(f"libavif {features.version('avif')}; unasked: {len(plain)} bytes, error {error:.2f} of 255")
found = {}
for tune in ("iq", "ssim", "psnr"):
    found[tune] = coded(advanced={"tune": tune})
    print(f"tune={tune}: {len(found[tune][0])} bytes, error {found[tune][1]:.2f} of 255")
assert found["iq"][0] == plain
for tune in ("ssim", "psnr"):
    assert len(found[tune][0]) > 1.3 * len(plain), tune
    assert found[tune][1] < error, tune
EOF
