#!/usr/bin/env bash
# Builds the Python environment that the reference values and the peers' timings come from, and the
# GPT-2-small-shaped model (random weights, seed 0) that they are timed on.
#   bash setup.sh            -> $PEERS (default: the cache folder) with venv/, gpt2-random-124m/, gpt2-onnx/, gpt2-ct2/, avx512.so
# torch's CUDA libraries are replaced by stubs (CPU only): 1.6 GB instead of 5.7 GB.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export PEERS=${PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/maskscope-peers}
mkdir -p "$PEERS"; cd "$PEERS"
if ! [ -x venv/bin/python ] || ! venv/bin/python -c 'import torch, transformers, onnxruntime, ctranslate2, peft' 2>/dev/null; then
  python3 -m venv venv
  venv/bin/pip -q install --no-deps torch==2.15.0
  venv/bin/pip -q install numpy 'setuptools>=77.0.3' filelock 'typing-extensions>=4.13' 'sympy>=1.13.3' networkx jinja2 fsspec
  sp=$(venv/bin/python -c 'import site; print(site.getsitepackages()[0])')
  sed -i -E '/^Requires-Dist: (cuda-|nvidia-|triton)/d' "$sp"/torch-2.15.0.dist-info/METADATA
  venv/bin/python "$here/make_cuda_stubs.py" "$sp/torch/lib"
  venv/bin/pip -q install transformers==5.23.0 safetensors tokenizers accelerate onnxruntime==1.32.0 onnx==1.23.2 ctranslate2==4.8.5 peft==0.21.2
fi
# MKL takes its AVX2 path on AMD processors; this shim makes torch as fast as it can be, so that the comparison is fair.
[ -f avx512.so ] || echo 'int mkl_serv_intel_cpu_true(void){return 1;} int mkl_serv_intel_cpu(void){return 1;}' | gcc -shared -fPIC -xc - -o avx512.so
[ -f gpt2-onnx/model.onnx ] || venv/bin/python "$here/make_models.py" "$PEERS" ${TOKENIZER:+"$TOKENIZER"}
[ -d gpt2-ct2 ] || venv/bin/ct2-transformers-converter --model gpt2-random-124m --output_dir gpt2-ct2
echo "ready: $PEERS"
