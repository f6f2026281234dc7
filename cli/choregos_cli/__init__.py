"""The `choregos` command: lint, graph, publish, and a whole choreography on one machine."""
