"""torch 2.11: what differs from 2.12."""

lazy_graph_module = "backport"  # split_module uses it since pytorch#177907, 2.12
realize_on_reuse = "backport"  # vllm#42686 had it for this torch; no release has it
cpp_indirect_assert = "backport"  # pytorch#178148 came in 2.12
atomic_artifact_save = "backport"  # pytorch#175995 came in 2.12
aot_runtime_env = "backport"  # pytorch#177558 came in 2.12
split_module_tuple_return = "backport"  # the parameter came in 2.12
mark_unbacked = "backport"  # `min` and `max` came in 2.12
symbolic_multiple = "noop"  # asks sympy, which finds the common factor
