"""The webhook's certificate, made and renewed by the controller, without one admission refused meanwhile.

The API server calls the webhook over TLS and trusts only what is in the `caBundle` of the webhook configurations. So two
kinds of object have to agree at every moment: the Secret that every webhook serves from, and the bundle that every API
server verifies with; and neither is seen by everybody at once. The Secret also holds what the controller has to remember.

1. `issue` makes an authority, and certificates signed by it.
2. `trust` asks what is left of a certificate, and whether an authority proves it.
3. `secret` reads the Secret, whatever state it is in, and writes it.
4. `rotation` decides on the next step: all of the order that matters is there.
5. `keeper` reads the objects, takes that step, and comes again.
"""
