"""Find out what this torch really has: `live` or `source` answers `requirements`."""
