"""A choreography's cluster, from where the user sits: Kubernetes by kubectl, NATS by a URL or through a forwarded port."""
