"""What all parts of Choregos agree on: the resources, the names, the event, the wiring. Pure: no I/O."""
