#!/usr/bin/env bash
# A Croissant file whose table says by its media type that it is Parquet, read with mlcroissant.
#
# Expected: application/vnd.apache.parquet, which IANA has registered, is read; application/x-parquet is the
# name of before. Both pass the validation.
# Seen with mlcroissant 1.1.1: only application/x-parquet is read. With the registered type the metadata load
# without a word, and the first record asked for ends in an error that speaks of encoding formats which gave no
# table, and not of a type that is not known.
# Why it matters: a condensed set is shared as Parquet beside a Croissant file, as the Hugging Face Hub shares
# every data set. Whoever writes the registered type makes a file that validates and that nobody can load.
# Write application/x-parquet, as the Hub does, and read a record in the test.
set -euo pipefail

packages=(mlcroissant==1.1.1 pyarrow==21.0.0 pandas==2.3.3)
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

venv/bin/python -W ignore - <<'EOF'
import hashlib
import json
import logging
from importlib.metadata import version
from pathlib import Path

import mlcroissant
import pandas

assert version("mlcroissant") == "1.1.1", version("mlcroissant")
logging.disable(logging.WARNING)
pandas.DataFrame({"label": [3, 1]}).to_parquet("table.parquet")
digest = hashlib.sha256(Path("table.parquet").read_bytes()).hexdigest()
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "recordSet": "cr:recordSet",
    "source": "cr:source",
}


def records(media_type):
    table = {"@type": "cr:FileObject", "@id": "table", "name": "table", "contentUrl": "table.parquet"}
    table |= {"encodingFormat": media_type, "sha256": digest}
    source = {"fileObject": {"@id": "table"}, "extract": {"column": "label"}}
    field = {"@type": "cr:Field", "@id": "rows/label", "name": "label", "dataType": "sc:Integer"}
    rows = {"@type": "cr:RecordSet", "@id": "rows", "name": "rows", "field": [field | {"source": source}]}
    told = {"@context": CONTEXT, "@type": "sc:Dataset", "name": "two_rows", "description": "Two rows."}
    told |= {"conformsTo": "http://mlcommons.org/croissant/1.0", "license": "CC0-1.0", "version": "1.0.0"}
    told |= {"url": "https://example.org/two", "datePublished": "2026-01-01", "citeAs": "none"}
    told |= {"creator": {"@type": "sc:Person", "name": "A"}}
    Path("croissant.json").write_text(json.dumps(told | {"distribution": [table], "recordSet": [rows]}))
    read = mlcroissant.Dataset("croissant.json")
    assert not read.metadata.ctx.issues.errors
    return list(read.records("rows"))


old = records("application/x-parquet")
print("application/x-parquet:", old)
assert [one["rows/label"] for one in old] == [3, 1]
try:
    records("application/vnd.apache.parquet")
except Exception as error:
    told = f"{error} {error.__cause__}"
    print(f"application/vnd.apache.parquet: {type(error).__name__}: {told[:600]}")
    assert "encoding formats" in told, told
else:
    raise SystemExit("the registered media type is read now")
EOF
