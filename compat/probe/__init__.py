"""Find out what this torch has: `live` and `source` answer `requirements`."""
