"""Croissant metadata of an export (MLCommons, 1.0): JSON-LD for catalogues and loaders. PURE."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from crowd.core.clock import rfc3339
from crowd.datasets.formats.kinds import FileSet
from crowd.datasets.records import COLUMNS, MANIFEST, Header

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
NO_LICENSE = "Not stated: ask whoever handed the data set out."
RECORDS = "records"
TYPES = {"id": "sc:Integer"}
MEANINGS = {
    "id": "The image's number.",
    "split": "train, validation or test; images of one look are never in two of them.",
    "style": "The key of the main style.",
    "files": "Where the image and its labels are, separated by semicolons.",
    "sha256": "Of the image file as it was delivered.",
    "training": "yes, or no where the image's contract does not let models learn from it.",
}


def describe(header: Header, file_sets: Sequence[FileSet], listed: str, images: int) -> bytes:
    """The document's bytes; `listed` is the SHA-256 (hex) of the list of images."""
    name = header.about.get("name", header.release)
    document = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": header.release,
        "alternateName": name,
        "conformsTo": CONFORMS_TO,
        "description": header.about.get("summary", f"{name}: {images} images of garments with their labels."),
        "datePublished": rfc3339(header.created_at)[:10],
        "version": f"{header.revision}.0.0",
        "isLiveDataset": False,
        "license": header.about.get("license", NO_LICENSE),
        "citeAs": header.about.get("cite", f"{name}, release {header.release}, revision {header.revision}."),
        **_said(header.about),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "manifest",
                "name": "manifest",
                "description": "The list of all images.",
                "contentUrl": MANIFEST,
                "encodingFormat": "text/csv",
                "sha256": listed,
            },
            *(_file_set(each) for each in file_sets),
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": RECORDS,
                "name": RECORDS,
                "key": {"@id": f"{RECORDS}/id"},
                "field": [_field(column) for column in COLUMNS],
            }
        ],
    }
    return (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode()


def _said(about: Mapping[str, str]) -> dict[str, Any]:
    """What the makers said of author and address."""
    said: dict[str, Any] = {}
    if author := about.get("author"):
        said["creator"] = {"@type": "sc:Organization", "name": author}
    if url := about.get("url"):
        said["url"] = url
    return said


def _file_set(each: FileSet) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": each.name,
        "name": each.name,
        "encodingFormat": each.media_type,
        "includes": each.glob,
    }


def _field(column: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{RECORDS}/{column}",
        "name": column,
        "description": MEANINGS[column],
        "dataType": TYPES.get(column, "sc:Text"),
        "source": {"fileObject": {"@id": "manifest"}, "extract": {"column": column}},
    }
