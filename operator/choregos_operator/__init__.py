"""The operator: one image, two processes.

The *webhook* validates what is applied, and gives every labelled pod its ambassador. The *controller* wires the bus, writes
one configuration per service, and says in conditions and events how things stand. Neither is on the way of an event: both may
be away, and every event goes on.
"""
