"""How a labelled pod gets its ambassador: a pure function from the pod as it was asked for to the pod as it will be.

`inject` is the way in. What it adds is written down in `container` and `volumes`; what it refuses, in `refusals`; what it
only warns of, in `cautions`; `pod` reads a manifest. Nothing of the owner's is changed, moved or removed, and to inject
what is injected already changes nothing: the API server asks again when another webhook has changed the pod.
"""

from choregos_operator.injection.inject import Injected, Refused, bus_of, inject, service_of
from choregos_operator.injection.patch import json_patch
from choregos_operator.injection.settings import InjectionSettings

__all__ = ["Injected", "InjectionSettings", "Refused", "bus_of", "inject", "json_patch", "service_of"]
