"""How is torch changed, and changed back? Nothing in here knows a shim or a version."""
