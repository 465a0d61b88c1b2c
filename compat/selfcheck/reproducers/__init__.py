"""The reproducers of the shims. Each file has the name of its shim."""
