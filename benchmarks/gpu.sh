#!/usr/bin/env bash
# All that can only be measured on a GPU, one after the other, each in at most ten minutes:
#
#   bash benchmarks/gpu.sh OUT [DATASET]
#
# DATASET is CIFAR-10 as a Parquet folder, for the training loop; left out without it. Tables and
# JSON go to OUT. A part that fails doesn't stop the others; the exit code is the number of such.
set -uo pipefail
out=$(realpath -m "${1:?usage: bash benchmarks/gpu.sh OUT [DATASET]}")
dataset=${2:+$(realpath "$2")}
cd "$(dirname "$0")/.." || exit 1
if ! python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "torch sees no CUDA GPU here, and this measures nothing else." >&2
    exit 1
fi
mkdir -p "$out"
failed=0
part() {
    local name=$1
    shift
    printf '\n== %s: %s\n' "$name" "$*"
    "$@" 2>&1 | tee "$out/$name.txt"
    [ "${PIPESTATUS[0]}" -eq 0 ] || failed=$((failed + 1))
}

nvidia-smi | tee "$out/device.txt"
part sd15 python benchmarks/generate.py --model sd15 --variants --out "$out/sd15.json"
part sdxl python benchmarks/generate.py --model sdxl --variants --out "$out/sdxl.json"
part memory python benchmarks/generate.py --memory --out "$out/memory.json"
[ -z "$dataset" ] || part train python benchmarks/train.py "$dataset" --device cuda
part tests python -m pytest -n 0 tests/generation/test_gpu.py
exit "$failed"
