"""The controller: wires the bus, writes the configurations, and says how things stand."""
