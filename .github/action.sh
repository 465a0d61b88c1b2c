#!/usr/bin/env bash
# The step of action.yml. Turns its inputs, which come as variables, into one command line of compat.
set -euo pipefail

fail() {
  echo "compat: $1" >&2
  exit 2
}

paths=()
while IFS= read -r line; do
  if [ -n "$line" ]; then paths+=("$line"); fi
done <<< "${COMPAT_PATH:-}"

case "${COMPAT_COMMAND:-}" in
  status | check) arguments=("$COMPAT_COMMAND") ;;
  scan)
    [ ${#paths[@]} -gt 0 ] || fail "the command scan needs the input path"
    arguments=(scan "${paths[@]}")
    if [ -n "${COMPAT_CALLS:-}" ]; then arguments+=(--calls "$COMPAT_CALLS"); fi
    if [ -n "${COMPAT_AGAINST:-}" ]; then arguments+=(--against "$COMPAT_AGAINST"); fi
    ;;
  prune)
    [ -n "${COMPAT_TORCH:-}" ] || fail "the command prune needs the input torch"
    arguments=(prune)
    while IFS= read -r line; do
      if [ -n "$line" ]; then arguments+=(--torch "$line"); fi
    done <<< "$COMPAT_TORCH"
    if [ ${#paths[@]} -gt 0 ]; then arguments+=(--format github "${paths[@]}"); fi
    ;;
  vendor-check)
    [ ${#paths[@]} -eq 1 ] || fail "the command vendor-check needs one path"
    arguments=(vendor "${paths[0]}" --check)
    ;;
  *) fail "command is '${COMPAT_COMMAND:-}'; it can be status, check, scan, prune or vendor-check" ;;
esac

python=${COMPAT_PYTHON:-python}
"$python" -c "import packaging" 2> /dev/null || "$python" -m pip install --quiet packaging

# This checkout comes before the working directory on the path, which may hold a folder named compat.
root=${GITHUB_ACTION_PATH:-$(cd "$(dirname "$0")/.." && pwd)}
exec "$python" -c '
import runpy, sys
sys.path[0] = sys.argv.pop(1)
runpy.run_module("compat", run_name="__main__", alter_sys=True)
' "$root" "${arguments[@]}"
