//! Which tokenizers open: one table of the files they are stored in, and the small files that lie beside them.
//!
//! Plain data next to the one function that decides; the Hub's listing, the cache and a plain folder all ask it.

/// How a tokenizer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The JSON of Hugging Face's tokenizers library.
    Json,
    /// A vocabulary and the merges of a byte-level BPE.
    VocabMerges,
    /// A SentencePiece model.
    SentencePiece,
    /// A list of word pieces.
    WordPiece,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub name: &'static str,
    /// The ways in which the files may be called; all names of one way are needed.
    pub files: &'static [&'static [&'static str]],
    /// What opens, in a sentence.
    pub doc: &'static str,
    pub form: Form,
}

/// In order of preference: where several are there, the first one counts.
pub const KINDS: [Kind; 4] = [
    Kind {
        name: "tokenizer.json",
        files: &[&["tokenizer.json"], &["aitextgen.tokenizer.json"]],
        doc: "Byte-level BPE, BPE and unigram with ▁ for a space, byte fallback, WordPiece.",
        form: Form::Json,
    },
    Kind {
        name: "byte-level BPE",
        files: &[&["vocab.json", "merges.txt"]],
        doc: "GPT-2's own files, with added_tokens.json and special_tokens_map.json where they are there.",
        form: Form::VocabMerges,
    },
    Kind {
        name: "SentencePiece",
        files: &[&["spiece.model"], &["tokenizer.model"]],
        doc: "Unigram and BPE models, with the normaliser and the byte fallback that they hold.",
        form: Form::SentencePiece,
    },
    Kind {
        name: "WordPiece",
        files: &[&["vocab.txt"]],
        doc: "BERT's vocabulary, with do_lower_case of tokenizer_config.json.",
        form: Form::WordPiece,
    },
];

/// Small files beside a tokenizer. They are fetched where present, and saved with every model made from it.
pub const BESIDE: [&str; 6] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "chat_template.jinja",
    "chat_template.json",
];

/// The kind on offer and the names of its files.
pub fn choose(has: &dyn Fn(&str) -> bool) -> Option<(Form, &'static [&'static str])> {
    KINDS.iter().find_map(|kind| {
        let files = kind.files.iter().find(|names| names.iter().all(|name| has(name)))?;
        Some((kind.form, *files))
    })
}

/// What is looked for, for a message.
pub fn wanted() -> String {
    let way = |names: &&[&str]| names.join(" with ");
    let all: Vec<String> = KINDS.iter().flat_map(|kind| kind.files.iter().map(way)).collect();
    format!("a tokenizer ({})", all.join(", "))
}

/// Every file that belongs to a tokenizer: those it is read from, and those beside it.
pub fn all_files() -> impl Iterator<Item = &'static str> {
    KINDS.iter().flat_map(|kind| kind.files.iter().copied().flatten().copied()).chain(BESIDE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_whole_kind_counts() {
        let chosen = |names: &[&str]| choose(&|name| names.contains(&name));
        assert_eq!(chosen(&["vocab.json", "merges.txt", "tokenizer.json"]).unwrap().1, ["tokenizer.json"]);
        assert_eq!(chosen(&["vocab.txt", "vocab.json"]), Some((Form::WordPiece, &["vocab.txt"][..])));
        assert_eq!(chosen(&["spiece.model"]).unwrap().0, Form::SentencePiece);
        assert_eq!(chosen(&["aitextgen.tokenizer.json"]).unwrap().0, Form::Json);
        assert_eq!(chosen(&["merges.txt", "tokenizer_config.json"]), None);
    }
}
