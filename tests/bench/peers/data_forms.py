"""Writes one small file of every form of data, reads each back with Python's own readers, and writes down what they give.

    python tests/bench/peers/data_forms.py        (from the root; needs tokenizers, transformers, zstandard, pyarrow)

`tests/data/forms/` holds the files, `expected.json` the documents and tokens (bundled tokenizer, one end mark a document)
that src/train/data/forms_tests.rs compares with. The reading below knows nothing of the Rust code.
"""

import codecs, csv, gzip, hashlib, io, json, pathlib, re

import pyarrow, pyarrow.parquet, zstandard
from transformers import PreTrainedTokenizerFast

ROOT = pathlib.Path(__file__).resolve().parents[3]
OUT = ROOT / "tests/data/forms"
END = "<|endoftext|>"
WORDS = "harbour lamp river orchard winter letter stone garden candle über café 灯 market".split()
TEMPLATE = """{%- set ns = namespace(turns=0) -%}
{%- for message in messages %}
    {%- if message['role'] not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('Unknown role: ' + message['role']) }}
    {%- endif %}
    {%- set ns.turns = ns.turns + 1 %}
    {{- '<|' + message.role + '|>\\n' + message['content'].strip() + '\\n' }}
    {%- if message.role == 'assistant' %}
        {{- eos_token }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\\n' }}
{%- endif %}
"""


def text(n, lines=2):
    return "\n".join(" ".join(WORDS[(n * 5 + k * k + line) % len(WORDS)] for k in range(6)) + "." for line in range(lines))


def write(name, data):
    (OUT / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def table(rows, delimiter, **options):
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\r\n", **options).writerows(rows)
    return out.getvalue()


def make():
    gaps = [{"id": 0, "note": "gone"}, {"id": 1, "text": text(1)}, {"id": 2, "text": None},
            {"id": 3, "text": float("nan")}, {"id": 4, "text": "  "}, {"id": 5, "text": text(5)},
            {"id": float("inf"), "text": "NaN \"and\" Infinity"}]
    write("gaps.jsonl", lines(gaps))
    array = [{"id": n, "text": text(n)} for n in range(6)]
    write("array.json", json.dumps(array, indent=2))
    write("held.json", json.dumps({"version": "1.0", "data": array[:4]}))
    write("texts.json", json.dumps([row["text"] for row in array]))
    write("lines_as.json", lines(array[:3]))
    write("packed.jsonl.gz", gzip.compress(lines(array[:2]).encode(), mtime=0) + gzip.compress(lines(array[2:]).encode(), mtime=0))
    write("packed.json.zst", zstandard.ZstdCompressor().compress(json.dumps(array).encode()))
    write("named_wrong.txt", gzip.compress("one document\n\nand a second".encode(), mtime=0))
    write("cr.txt", "first line\rsecond line\r\rsecond document\r")
    write("crlf.txt", "first line\r\nsecond line\r\n\r\n\r\nsecond document\r\n")
    write("utf16.txt", codecs.BOM_UTF16_LE + "ein Text\nmit Zeilen\n\nüber 灯 🚀\n".encode("utf-16-le"))
    write("bom.csv", codecs.BOM_UTF8 + table([["text", "n"], [text(1), 1], ["with, comma and \"quotes\"", 2]], ",").encode())
    write("semicolon.csv", table([["id", "text"], [1, "a; b, c, d"], [2, text(2)], [3, ""], [4, "x, y"]], ";"))
    write("quoted.tsv", table([["text", "n"], [text(3), 1], ["tab\there \"said\"", 2], ["plain", 3]], "\t"))
    write("messages.jsonl", lines({"messages": [{"role": "system", "content": "Be short."}] * (n % 2)
        + [{"role": "user", "content": text(n, 1)}, {"role": "assistant", "content": " " + text(n + 1)}]} for n in range(5)))
    turns = lambda n: [{"from": "human", "value": text(n, 1)}, {"from": "gpt", "value": text(n + 2, 1)}]
    write("share_gpt.json", json.dumps([{"id": str(n), "conversations": turns(n) + turns(n + 1)} for n in range(4)]
        + [{"id": "4", "conversations": []}, {"id": "5", "conversations": [{"from": "tool", "value": "42"}]}]))
    write("pairs.csv", table([["id", "prompt", "completion"]] + [[n, text(n, 1), text(n + 3, 1)] for n in range(4)] + [[4, "", "b"]], ","))
    chat = pyarrow.table({"source": ["a", "b"], "messages": [[{"role": "user", "content": text(n, 1)},
        {"role": "assistant", "content": text(n + 4, 1)}] for n in range(2)]})
    pyarrow.parquet.write_table(chat, OUT / "messages.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"n": [1, 2, 3], "text": [text(1), None, text(2)]}), OUT / "text.parquet")


def unpacked(name):
    data = (OUT / name).read_bytes()
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


def rows_of(name):
    """The rows of a file as Python reads them; texts for prose."""
    if name.endswith(".parquet"):
        return pyarrow.parquet.read_table(OUT / name).to_pylist()
    data = unpacked(name)
    content = data.decode("utf-16" if data[:2] == codecs.BOM_UTF16_LE else "utf-8-sig")
    kind = name.removesuffix(".gz").removesuffix(".zst").rsplit(".", 1)[1]
    if kind == "txt":
        prose = "\n".join(content.splitlines()) if "\r" in content else content
        return [part.strip() for part in re.split(r"\n\n", prose) if part.strip()]
    if kind in ("csv", "tsv"):
        dialect = csv.Sniffer().sniff(content.splitlines()[0], delimiters=",;\t")
        return list(csv.DictReader(io.StringIO(content, newline=""), delimiter=dialect.delimiter))
    try:
        whole = json.loads(content)
    except json.JSONDecodeError:
        whole = [json.loads(line) for line in content.splitlines() if line.strip()]
    return whole["data"] if isinstance(whole, dict) else whole


def turns_of(row):
    if "prompt" in row:
        both = row["prompt"] and row["completion"]
        return [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}] if both else []
    if "messages" in row:
        return row["messages"]
    roles = {"human": "user", "gpt": "assistant"}
    return [{"role": roles.get(t["from"], t["from"]), "content": t["value"]} for t in row["conversations"]]


def documents(name, tokenizer, template):
    out, left_out = [], 0
    for row in rows_of(name):
        if isinstance(row, str):
            value = row
        elif {"messages", "conversations", "prompt"} & set(row):
            turns = turns_of(row)
            if not turns:
                value = None
            elif template:
                try:
                    value = tokenizer.apply_chat_template(turns, tokenize=False)
                except Exception as refused:  # jinja2's TemplateError, as the template raises it
                    assert "Unknown role" in str(refused), refused
                    value = None
            else:
                value = END.join(turn["content"] for turn in turns)
        else:
            value = row.get("text")
        if isinstance(value, str) and value.strip():
            out.append(value)
        else:
            left_out += 1
    return out, left_out


def code(n):
    a, b = WORDS[n % 10], WORDS[(n * 3 + 1) % 10]
    return f"import {a}\n\n\ndef {b}_{n}(x):\n    return {a}.get(x, {n})\n\n\nclass {b.title()}:\n\tdef run(self):\n\t\tpass\n  \n"


def learned(kind):
    """A small tokenizer of its kind, learned from the code."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    special = ["<unk>", "</s>"]
    if kind in ("byte_level", "prefix_space"):
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=kind == "prefix_space")
        trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    elif kind == "metaspace":
        made = Tokenizer(models.BPE(unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    elif kind == "unigram":
        made = Tokenizer(models.Unigram())
        made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(__import__("tokenizers").Regex(" {2,}"), " ")])
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False)
    else:
        made = Tokenizer(models.WordPiece(unk_token="<unk>"))
        made.normalizer = normalizers.BertNormalizer()
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    made.train_from_iterator([code(n) for n in range(40)], trainer)
    return made


def kinds():
    """Tokens of the same documents under tokenizers of every kind, each document as a whole."""
    out = {}
    texts = [code(n) for n in range(60)]
    write("code.jsonl", lines({"text": t} for t in texts))
    (OUT / "tokenizers").mkdir(exist_ok=True)
    for kind in ("byte_level", "prefix_space", "metaspace", "unigram", "word_piece"):
        tokenizer = learned(kind)
        write(f"tokenizers/{kind}.json", tokenizer.to_str())
        ids = [i for t in texts for i in tokenizer.encode(t, add_special_tokens=False).ids]
        cut = sum(len(tokenizer.encode(line, add_special_tokens=False).ids) for t in texts for line in re.split(r"(?=\n)", t))
        long = tokenizer.encode("\n".join(texts * 12), add_special_tokens=False).ids
        out[kind] = {"tokens": len(ids), "sha256": digest(ids), "long": len(long), "long_sha256": digest(long)}
        print(kind, len(ids), "whole,", cut, "cut into lines")
    write("tokenizers/expected.json", json.dumps(out, indent=1) + "\n")


def digest(ids):
    return hashlib.sha256(b"".join(i.to_bytes(4, "little") for i in ids)).hexdigest()


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    make()
    write("chat_template.jinja", TEMPLATE)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(ROOT / "assets/tokenizer.json"), eos_token=END, chat_template=TEMPLATE)
    end = tokenizer.convert_tokens_to_ids(END)
    kinds()
    expected = []
    for path in sorted(OUT.iterdir()):
        if path.is_dir() or path.name in ("expected.json", "chat_template.jinja"):
            continue
        for template in (False, True):
            texts, left_out = documents(path.name, tokenizer, template)
            ids = [tokenizer.encode(t, add_special_tokens=False) for t in texts]
            expected.append({
                "file": path.name, "template": template, "documents": len(texts), "left_out": left_out,
                "tokens": sum(len(i) + (i[-1] != end) for i in ids),
                "sha256": hashlib.sha256("\0".join(texts).encode()).hexdigest(),
            })
    write("expected.json", json.dumps(expected, indent=1) + "\n")
    for row in expected:
        print(row["file"], row["template"], row["documents"], row["left_out"], row["tokens"])


main()
