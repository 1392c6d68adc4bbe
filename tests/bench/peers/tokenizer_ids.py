"""Small tokenizers of every kind, and the ids that Python gives for 1,000 mixed texts under each.

    pip install transformers==5.24.0 tokenizers==0.23.3 sentencepiece==0.2.3
    python tests/bench/peers/tokenizer_ids.py tests/data/tokenizers            # writes the fixtures
    python tests/bench/peers/tokenizer_ids.py --check FOLDER IDS.json          # ids of one folder, for a look by hand

Every folder gets the files that a model of that kind comes with and `ids.json`: the ids of each text of `texts.json`.
Trained on the bundled model's calibration text (public domain) and a few sentences in other scripts.
"""

import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

HERE = Path(__file__).resolve().parents[3]
OTHERS = [
    "Größe und Übergänge sind schön; daß er kommt, weiß niemand.", "Le garçon a mangé des crêpes à l'été.",
    "안녕 한국어 입니다. 오늘은 날씨가 좋습니다.", "今天天气很好，我们去公园散步。他说：“你好！”", "吾輩は猫である。名前はまだ無い。",
    "Привет, мир! Как дела?", "שלום עולם, מה שלומך?", "مرحبا بالعالم كيف حالك", "สวัสดีชาวโลก", "नमस्ते दुनिया",
    "def run(self, x):\n    return [i ** 2 for i in range(x)]\n", "const f = (a, b) => { return a + b; };",
]
EMOJI = ["😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪", "❤️", "☃", "🧑‍🚀", "©", "™"]
COMBINED = ["é", "e\u0301", "ñ", "n\u0303", "a\u0308\u0332", "Å", "\u212b", "ﬁ", "½", "Ⅷ", "ｆｕｌｌ", "①", "ẛ̣", "İ", "ß", "ǆ"]
CONTROL = ["\x00", "\x01", "\x07", "\x1b[31m", "\x7f", "\x80", "\x9b", "\u200b", "\u200d", "\u202e", "\ufeff", "\ufffd", "\u2028"]
SPACE = [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\u00a0", "\u3000", "\u2009", " \n ", ""]
CODE = ["x += 1;", "if (a && b) {", "    return None", "#include <stdio.h>", "a_b.c()", "0x1F600", "3.14e-10", "'''", "\\n", "<br/>"]
SIGNS = list("▁Ġ#@&<>[]{}|~^`'\"") + ["##ing", "▁▁", "...", "—", "“q”", "don't", "I'm", "``x''", "<0x0A>", "Ċ"]


def corpus():
    text = (HERE / "assets/calibration.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip()]
    return lines + OTHERS * 20


def texts(lines, added):
    """1,000 texts: whole sentences, and mixtures of everything with and without spaces between."""
    rng = random.Random(20)
    words = sorted({w for line in lines for w in line.split()})
    pools = [words, words, words, OTHERS, EMOJI, COMBINED, CONTROL, CODE, SIGNS, added]
    out = ["", " ", "\n", "a", " a", "a ", "  a  b  ", "\u2581", "\u2581a", "Hello World", *OTHERS, *EMOJI, *COMBINED, *CONTROL, *SIGNS]
    while len(out) < 1000:
        parts = []
        for _ in range(rng.randint(1, 6)):
            part = rng.choice(rng.choice(pools))
            if len(part) > 12 and rng.random() < 0.8:
                start = rng.randrange(len(part) - 6)
                part = part[start:start + rng.randint(3, 12)]
            parts.append(part)
            parts.append(rng.choice(SPACE) if rng.random() < 0.6 else " ")
        out.append("".join(parts))
    return out


ADDED = ["<|endoftext|>", "</s>", "<unk>", "[UNK]", "[SEP]", "<speaker1>", "kuća", "Größe", "đem", "two words", "<mask>", "<pad>"]


def plain(token, **how):
    return AddedToken(token, normalized=False, special=False, **how)


def write(folder, name, value):
    (folder / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def byte_level(lines, **how):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(**{"add_prefix_space": False, **how})
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=700, show_progress=False,
                            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<|endoftext|>"]))
    return tok


def gpt2_json(folder, lines):
    """tokenizer.json with added words, as fine-tunes have them."""
    tok = byte_level(lines)
    tok.add_tokens([plain(t) for t in ["kuća", "Größe", "đem", "two words"]])
    tok.save(str(folder / "tokenizer.json"), pretty=False)
    write(folder, "tokenizer_config.json", {"tokenizer_class": "GPT2TokenizerFast", "eos_token": "<|endoftext|>", "add_prefix_space": False})


def gpt2_files(folder, lines):
    """vocab.json and merges.txt with added_tokens.json, as GPT2Tokenizer saved them for years."""
    tok = byte_level(lines)
    tok.model.save(str(folder))
    n = tok.get_vocab_size()
    write(folder, "added_tokens.json", {"<speaker1>": n, "<|pad|>": n + 1, "kuća": n + 2})
    write(folder, "special_tokens_map.json", {"bos_token": "<|endoftext|>", "eos_token": {"content": "<|endoftext|>", "lstrip": False,
          "normalized": True, "rstrip": False, "single_word": False}, "pad_token": "<|pad|>", "additional_special_tokens": ["<speaker1>"]})
    write(folder, "tokenizer_config.json", {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False})


def gpt2_prefix(folder, lines):
    """vocab.json and merges.txt with add_prefix_space and added_tokens_decoder."""
    tok = byte_level(lines)
    tok.model.save(str(folder))
    n = tok.get_vocab_size()
    added = {str(tok.token_to_id("<|endoftext|>")): {"content": "<|endoftext|>", "special": True},
             str(n): {"content": "<mask>", "special": True, "lstrip": True}, str(n + 1): {"content": "đem", "special": False}}
    flags = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
    write(folder, "tokenizer_config.json", {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True, "eos_token": "<|endoftext|>",
          "mask_token": "<mask>", "added_tokens_decoder": {i: {**flags, **t} for i, t in added.items()}})


SPECIALS = ["<s>", "</s>", "<pad>", "<unk>", "<mask>"]


def metaspace_bpe(folder, lines):
    """As Korean GPT-2s have it."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tok.normalizer = normalizers.NFKC()
    tok.pre_tokenizer = pre_tokenizers.Metaspace()
    tok.decoder = decoders.Metaspace()
    tok.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=600, show_progress=False, special_tokens=SPECIALS, limit_alphabet=250))
    tok.add_tokens([plain("kuća"), plain("two words")])
    tok.save(str(folder / "tokenizer.json"), pretty=False)
    write(folder, "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"})


def unigram(folder, lines):
    tok = Tokenizer(models.Unigram())
    tok.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace("  ", " ")])
    tok.pre_tokenizer = pre_tokenizers.Metaspace()
    tok.decoder = decoders.Metaspace()
    tok.train_from_iterator(lines, trainers.UnigramTrainer(vocab_size=600, show_progress=False, special_tokens=SPECIALS, unk_token="<unk>"))
    tok.save(str(folder / "tokenizer.json"), pretty=False)
    write(folder, "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "unk_token": "<unk>"})


def byte_fallback(folder, lines):
    """Llama's form: a normaliser that writes ▁, bytes for what the vocabulary lacks."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1)])
    trainer = trainers.BpeTrainer(vocab_size=900, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)], limit_alphabet=120, max_token_length=12)
    tok.train_from_iterator([w for line in lines for w in line.replace(" ", " ▁").split(" ")], trainer)
    # The bytes are pieces of the vocabulary, not special tokens.
    stored = json.loads(tok.to_str())
    stored["added_tokens"] = [t for t in stored["added_tokens"] if t["id"] < 3]
    stored["added_tokens"].append({**stored["added_tokens"][0], "id": tok.get_vocab_size(), "content": "Größe", "special": False, "normalized": True})
    (folder / "tokenizer.json").write_text(json.dumps(stored, ensure_ascii=False), encoding="utf-8")
    write(folder, "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})


def spm(folder, lines, name, **how):
    import sentencepiece
    (folder / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(input=str(folder / "text.txt"), model_prefix=str(folder / "m"), minloglevel=2, num_threads=1, **how)
    shutil.move(folder / "m.model", folder / name)
    for left in ["text.txt", "m.vocab"]:
        (folder / left).unlink()


def spm_unigram(folder, lines):
    """spiece.model as T5's."""
    spm(folder, lines, "spiece.model", vocab_size=600, model_type="unigram", character_coverage=0.98, pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    write(folder, "tokenizer_config.json", {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "additional_special_tokens": [],
          "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"})


def spm_symbols(folder, lines):
    """spiece.model as rinna's: other ids for the special tokens, control and user-defined symbols."""
    spm(folder, lines, "spiece.model", normalization_rule_name="identity", vocab_size=600, model_type="unigram", character_coverage=0.98, pad_id=3, unk_id=0, bos_id=1, eos_id=2,
        control_symbols=["[CLS]", "[SEP]"], user_defined_symbols=["<speaker1>"])
    write(folder, "tokenizer_config.json", {"eos_token": "</s>", "unk_token": "<unk>", "bos_token": "<s>", "pad_token": "<pad>"})


def spm_bpe(folder, lines):
    """tokenizer.model as Llama's: BPE with byte fallback, text left as it is."""
    spm(folder, lines, "tokenizer.model", vocab_size=700, model_type="bpe", byte_fallback=True, character_coverage=0.98,
        normalization_rule_name="identity", remove_extra_whitespaces=False, unk_id=0, bos_id=1, eos_id=2)
    write(folder, "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "unk_token": "<unk>", "bos_token": "<s>"})


def wordpiece(folder, lines):
    """vocab.txt as Chinese GPT-2s have it."""
    tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tok.normalizer = normalizers.BertNormalizer(lowercase=True)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=700, show_progress=False, limit_alphabet=250, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    by_id = sorted(tok.get_vocab().items(), key=lambda item: item[1])
    (folder / "vocab.txt").write_text("".join(t + "\n" for t, _ in by_id), encoding="utf-8")
    write(folder, "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True})


def wordpiece_cased(folder, lines):
    """The same with letters as they are, BertTokenizerFast's tokenizer.json saying otherwise than tokenizer_config.json."""
    tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tok.normalizer = normalizers.BertNormalizer(lowercase=False)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.decoder = decoders.WordPiece(prefix="##")
    tok.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=700, show_progress=False, limit_alphabet=250, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    tok.add_special_tokens(["<speaker1>"])
    tok.normalizer = normalizers.BertNormalizer(lowercase=True)
    tok.save(str(folder / "tokenizer.json"), pretty=False)
    write(folder, "tokenizer_config.json", {"tokenizer_class": "BertTokenizerFast", "do_lower_case": False})


def nfc_byte_level(folder, lines):
    """Byte-level with a normaliser and a pattern of its own, as the families after GPT-2 have it; the end mark is <|im_end|>."""
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    from tokenizers import Regex
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=600, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"]))
    tok.save(str(folder / "tokenizer.json"), pretty=False)
    template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    write(folder, "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": template})


KINDS = [gpt2_json, gpt2_files, gpt2_prefix, nfc_byte_level, metaspace_bpe, unigram, byte_fallback, spm_unigram, spm_symbols, spm_bpe, wordpiece, wordpiece_cased]


def expected(folder, all_texts):
    """Class and ids as transformers gives them."""
    told = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    if (folder / "spiece.model").is_file() and "tokenizer_class" not in told:
        # Without a class AutoTokenizer takes GPT-2's; what reads any SentencePiece model looks for tokenizer.model.
        with tempfile.TemporaryDirectory() as other:
            other = Path(other)
            shutil.copy(folder / "spiece.model", other / "tokenizer.model")
            write(other, "tokenizer_config.json", {**told, "tokenizer_class": "PreTrainedTokenizerFast"})
            write(other, "config.json", {"model_type": "gpt2"})
            return expected(other, all_texts)
    tok = AutoTokenizer.from_pretrained(folder)
    return {"class": type(tok).__name__, "ids": [tok(t, add_special_tokens=False)["input_ids"] for t in all_texts]}


def main():
    if sys.argv[1] == "--check":
        all_texts = json.loads((HERE / "tests/data/tokenizers/texts.json").read_text(encoding="utf-8"))
        Path(sys.argv[3]).write_text(json.dumps(expected(Path(sys.argv[2]), all_texts)), encoding="utf-8")
        return
    out = Path(sys.argv[1])
    lines = corpus()
    all_texts = texts(lines, ADDED)
    (out / "texts.json").write_text(json.dumps(all_texts, ensure_ascii=True), encoding="utf-8")
    for make in KINDS:
        folder = out / make.__name__
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make(folder, lines)
        # A config.json lets AutoTokenizer choose as it does beside a real model.
        write(folder, "config.json", {"model_type": "gpt2"})
        told = expected(folder, all_texts)
        (folder / "config.json").unlink()
        (folder / "ids.json").write_text(json.dumps(told, separators=(",", ":")), encoding="utf-8")
        print(make.__name__, told["class"], sum(len(i) for i in told["ids"]), "ids")


if __name__ == "__main__":
    main()
