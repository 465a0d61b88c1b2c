"""The command line tools. The runtime never imports them, and a vendored copy does not contain them."""
