"""Where a service's configuration is kept, and the hash by which webhook and controller speak of one.

Neither has to read the ConfigMap to know whether a pod was told of what is wanted now: the hash follows from the
choreographies alone, because the generation, which only counts, is left out of it.
"""

import hashlib
from typing import Final

from msgspec.structs import replace

from choregos_contract.configuration import Configuration, dump

CONFIG_KEY: Final = "configuration.json"
"""Key of the document in the ConfigMap, and thus the name of the file that the ambassador reads."""
CONFIGURATION_WRITTEN: Final = "choregos.dev/configuration-written"
"""Annotation of a ConfigMap: when its document last changed, in RFC 3339."""


def configmap_name(service: str) -> str:
    """Return the name of the ConfigMap that holds a service's configuration."""
    return f"choregos-{service}"


def configuration_hash(configuration: Configuration) -> str:
    """Return 16 hexadecimal digits that are equal for equal configurations, whatever their generation."""
    return digest(dump(replace(configuration, generation=0)))


def digest(document: bytes) -> str:
    """Return the same of a document as it stands, which another release may have written; its generation is to be 0."""
    return hashlib.sha256(document).hexdigest()[:16]
