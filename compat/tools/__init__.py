"""For people, at the command line. The runtime never imports this, and a vendored copy does not have it."""
