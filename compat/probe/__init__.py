"""What does this torch really have? `requirements` are answered by `live` or `source`."""
