"""GPT-2 small with random weights (seed 0), saved as a Hugging Face folder and as one ONNX graph with explicit past K/V."""
import os, shutil, sys
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

out, tokenizer = sys.argv[1], (sys.argv[2] if len(sys.argv) > 2 else None)
torch.manual_seed(0)
config = GPT2Config()
config._attn_implementation = "eager"
model = GPT2LMHeadModel(config).eval()
hf = os.path.join(out, "gpt2-random-124m")
model.save_pretrained(hf)
# The timings run on ids, but CTranslate2 converts no model without as many token names as it has ids.
if tokenizer:
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"):
        shutil.copy(os.path.join(tokenizer, name), hf)
else:
    names = {f"t{i}": i for i in range(config.vocab_size - 1)} | {"<|endoftext|>": config.vocab_size - 1}
    stand_in = Tokenizer(WordLevel(names, unk_token="<|endoftext|>"))
    PreTrainedTokenizerFast(tokenizer_object=stand_in, unk_token="<|endoftext|>", bos_token="<|endoftext|>",
                            eos_token="<|endoftext|>").save_pretrained(hf)
LAYERS, HEADS, WIDTH = 12, 12, 64


class Plain(torch.nn.Module):
    """ids [B,T], past [L,2,B,H,P,hd] -> logits [B,T,V], present [L,2,B,H,P+T,hd]."""

    def __init__(self, model):
        super().__init__()
        self.body, self.head = model.transformer, model.lm_head

    def forward(self, ids, past):
        start, length = past.shape[4], ids.shape[1]
        x = self.body.wte(ids) + self.body.wpe(torch.arange(start, start + length)[None])
        causal = torch.arange(start + length)[None] <= torch.arange(length)[:, None] + start
        bias = torch.where(causal, 0.0, -1e9)
        present = []
        for i, block in enumerate(self.body.h):
            q, k, v = (z.reshape(z.shape[0], z.shape[1], HEADS, WIDTH).transpose(1, 2)
                       for z in block.attn.c_attn(block.ln_1(x)).split(HEADS * WIDTH, dim=2))
            k, v = torch.cat([past[i, 0], k], 2), torch.cat([past[i, 1], v], 2)
            present.append(torch.stack([k, v]))
            a = torch.softmax(q @ k.transpose(-1, -2) * WIDTH**-0.5 + bias, -1) @ v
            x = x + block.attn.c_proj(a.transpose(1, 2).reshape(x.shape))
            x = x + block.mlp(block.ln_2(x))
        return self.head(self.body.ln_f(x)), torch.stack(present)


onnx = os.path.join(out, "gpt2-onnx")
os.makedirs(onnx, exist_ok=True)
torch.onnx.export(
    Plain(model).eval(), (torch.randint(0, 50257, (1, 8)), torch.zeros(LAYERS, 2, 1, HEADS, 4, WIDTH)),
    os.path.join(onnx, "model.onnx"), dynamo=False, opset_version=17,
    input_names=["ids", "past"], output_names=["logits", "present"],
    dynamic_axes={"ids": {0: "B", 1: "T"}, "past": {2: "B", 4: "P"}, "logits": {0: "B", 1: "T"}, "present": {2: "B", 4: "S"}})
