"""What holds for every test: an example of a property is not refuted because the machine was busy."""

from hypothesis import HealthCheck, settings

# On CI, hypothesis has a profile of its own; that remains what this one goes by.
settings.register_profile("busy", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
