"""The ambassador: carries events between NATS JetStream and one service's HTTP port."""
