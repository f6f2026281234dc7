"""What `choregos status` knows: figures of each reaction, read now, and how they are shown."""
