#!/usr/bin/env bash
# A folder of JPEG pictures in Hugging Face `datasets`; `map` adds the width of each picture as a column.
#
# Expected: `map` keeps the picture column as it is, since the function neither changes nor returns it.
# Seen with datasets 5.2.0: looking at the picture inside `map` is enough to have it decoded and written
# again as JPEG at Pillow's default quality. The file shrinks, pixels move (here by 32 levels), and each
# further `map` that looks at it does so again. A function that does not touch the picture keeps its bytes.
# Why it matters: filtering, measuring or scoring a data set is what coreset selection does. The pictures
# selected are then no longer the pictures of the data set, and two pipelines with the same pictures differ
# by how many columns they computed. Cast the column to Image(decode=False) first, or add the new column
# with `add_column`.
set -euo pipefail

packages=(datasets==5.2.0 pillow==13.0.0 numpy==2.4.6)
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

HF_HOME="$work/hf" HF_HUB_OFFLINE=1 venv/bin/python - <<'EOF'
import io
from importlib.metadata import version
import datasets
import numpy as np
from PIL import Image

assert version("datasets") == "5.2.0", version("datasets")
datasets.disable_progress_bars()
coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
buffer = io.BytesIO()
Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=95)
original = buffer.getvalue()

features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
rows = {"image": [{"bytes": original, "path": None}], "label": [0]}
data = datasets.Dataset.from_dict(rows, features=features)


def stored(data):
    return data.cast_column("image", datasets.Image(decode=False))[0]["image"]["bytes"]


def moved(data):
    before = np.asarray(Image.open(io.BytesIO(original))).astype(int)
    return np.abs(np.asarray(data[0]["image"]).astype(int) - before).max()


relabelled = data.map(lambda row: {"label": row["label"] + 1})
measured = data.map(lambda row: {"width": row["image"].width})
twice = measured.map(lambda row: {"height": row["image"].height})
cases = {"original": data, "label changed": relabelled, "width added": measured, "height too": twice}
for name, case in cases.items():
    print(f"{name:14}", len(stored(case)), "bytes; largest change of a pixel:", moved(case))
assert stored(data) == original and stored(relabelled) == original
assert stored(measured) != original and stored(measured)[:2] == original[:2]
assert moved(measured) > 8 and moved(twice) >= moved(measured)
EOF
