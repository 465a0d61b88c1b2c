"""Torches that no other adapter speaks for (older than 2.11): under `auto`, only what torch has itself is used."""

lazy_graph_module = "noop"
