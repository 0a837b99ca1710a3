"""The card of a shared set as Croissant 1.1, the JSON-LD that catalogues of data read.

https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

from __future__ import annotations

from typing import Any

from attar.sharing.card import Card
from attar.sharing.licences import address
from attar.sharing.table import IMAGE, LABEL, SOFT, column_of

VERSION = "http://mlcommons.org/croissant/1.1"
# terms of the specification that are those of the vocabulary of their own name
_OWN = (
    *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field"),
    *("fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset"),
    *("jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{name: f"cr:{name}" for name in _OWN},
}
_RECORDS, _CLASSES = "rows", "classes"


def as_croissant(card: Card) -> dict[str, Any]:
    """Return a card as a Croissant document, whose files are named relative to it."""
    table = next((one for one in card.files if one.path.endswith(".parquet")), None)
    fields = [] if table is None else _fields(card, table.path)
    records = {"@type": "cr:RecordSet", "@id": _RECORDS, "name": _RECORDS, "field": fields}
    found: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": card.title,
        "description": card.description,
        "license": address(card.licence),
        "citeAs": f"{card.title}: {card.source.name}, condensed with Attar ({card.header.method}).",
        "datePublished": card.date,
        "version": "1.0.0",
        "keywords": ["dataset condensation", "dataset distillation"],
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": one.path,
                "name": one.path,
                "description": one.what,
                "contentUrl": one.path,
                "contentSize": f"{one.nbytes} B",
                "encodingFormat": one.kind,
                "sha256": one.sha256,
            }
            for one in card.files
        ],
        "recordSet": [_classes(card), records] if fields else [],
        "prov:wasDerivedFrom": {
            "@type": "prov:Entity",
            "sc:name": card.source.name,
            "sc:license": address(card.source.licence),
        },
        "prov:wasGeneratedBy": _activity(card),
        "rai:personalSensitiveInformation": _sensitive(card),
    }
    if card.repository is not None:
        found["url"] = f"https://huggingface.co/datasets/{card.repository}"
    return found


def _sensitive(card: Card) -> str:
    told = (
        "Condensed images can show what real images show; they are not anonymous."
        if card.from_real_images
        else "Condensed images can carry traces of real images; they are not anonymous."
    )
    more = " So can the network in the file of the set, which was trained on all real images."
    return told + more if card.network else told


def _activity(card: Card) -> dict[str, Any]:
    told = card.header.provenance
    made: dict[str, Any] = {
        "@type": "prov:Activity",
        "prov:label": f"dataset condensation with the method {card.header.method}",
        "prov:wasAssociatedWith": {
            "@type": "prov:SoftwareAgent",
            "prov:label": f"Attar {told.get('attar', '')}".strip(),
        },
    }
    return made if card.command is None else {**made, "sc:description": card.command}


def _classes(card: Card) -> dict[str, Any]:
    """Return the names of the classes by their numbers."""

    def field(name: str, kind: str) -> dict[str, Any]:
        return {"@type": "cr:Field", "@id": f"{_CLASSES}/{name}", "name": name, "dataType": kind}

    return {
        "@type": "cr:RecordSet",
        "@id": _CLASSES,
        "name": _CLASSES,
        "description": "the name of each class",
        "dataType": "sc:Enumeration",
        "key": {"@id": f"{_CLASSES}/{LABEL}"},
        "field": [field(LABEL, "sc:Integer"), field("name", "sc:Text")],
        "data": [
            {f"{_CLASSES}/{LABEL}": number, f"{_CLASSES}/name": name}
            for number, name in enumerate(card.header.class_names)
        ],
    }


def _fields(card: Card, table: str) -> list[dict[str, Any]]:
    def field(column: str, kind: str, what: str, **more: Any) -> dict[str, Any]:
        source = {"fileObject": {"@id": table}, "extract": {"column": column}}
        source |= more.pop("source", {})
        return {
            "@type": "cr:Field",
            "@id": f"{_RECORDS}/{column}",
            "name": column,
            "description": what,
            "dataType": kind,
            "source": source,
            **more,
        }

    header = card.header
    classes = len(header.class_names)
    name = column_of(header)
    if card.pictures:
        # what `datasets` writes of a picture is a structure, whose bytes are its file
        found = [
            field(
                IMAGE,
                "sc:ImageObject",
                "a condensed image, 8 bits",
                source={"transform": {"jsonPath": "bytes"}},
            )
        ]
    else:
        shape = ",".join(map(str, header.shape))
        found = [
            field(name, "sc:Float", "the values of a row", isArray=True, arrayShape=shape),
        ]
    named = {"references": {"field": {"@id": f"{_CLASSES}/{LABEL}"}}}
    found.append(field(LABEL, "sc:Integer", "its class", **named))
    if header.learned_labels:
        what = "its learnt value of every class, in place of the label"
        found.append(field(SOFT, "sc:Float", what, isArray=True, arrayShape=str(classes)))
    return found
