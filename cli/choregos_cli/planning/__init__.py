"""What `choregos plan` knows: what an apply would change, and what becomes of each durable and its events."""
