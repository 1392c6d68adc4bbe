//! Text to ids with byte spans, ids to exact bytes, whatever kind of tokenizer a model came with.
//!
//! [`kinds`] says which files are read, [`surface`] how the pieces of this tokenizer become text, [`special`] what the
//! files beside it say. Nothing outside this folder knows how a vocabulary writes spaces or bytes.

mod bounds;
mod byte_level;
mod chat;
mod cuts;
mod damage;
pub mod kinds;
mod sentencepiece;
mod small_files;
mod special;
mod surface;
mod wordpiece;

use std::borrow::Cow;
use std::path::Path;

use rayon::prelude::*;
use serde_json::Value;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{AddedToken, Encoding, Tokenizer as Inner};

use super::error::ModelError;
use crate::support::caught::caught;
/// How bytes look on screen.
pub use crate::support::visible::token as visible;
use cuts::Cuts;
use damage::{FETCH_AGAIN, guarded};
use kinds::Form;
pub use small_files::SmallFiles;
use special::Described;
pub use special::END_OF_TEXT;
use surface::Surface;

const JSON: &str = "tokenizer.json";

/// A tokenizer of any kind in [`kinds`].
#[derive(Clone)]
pub struct Tokenizer {
    inner: Inner,
    surface: Surface,
    cuts: Cuts,
    /// The normaliser may make a text many times as long, so that every text is judged first.
    multiplies: bool,
    /// Ids that end a text; the first ends a document.
    ends: Vec<u32>,
    /// Special tokens by role, such as `eos_token`.
    roles: Vec<(String, String)>,
    chat_template: Option<String>,
    files: SmallFiles,
}

/// A small file by its name, and what it holds.
pub type SavedFile<'a> = (&'a str, Cow<'a, [u8]>);

/// One token of an encoded text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub id: u32,
    /// Byte range of the text; tokens that split a character share its range.
    pub span: (usize, usize),
}

impl Tokenizer {
    /// From `tokenizer.json` alone; `file` names it in errors.
    ///
    /// # Errors
    /// Bytes that the library refuses.
    pub fn from_json(bytes: &[u8], file: &str) -> Result<Self, ModelError> {
        let files = SmallFiles::default().with(JSON, bytes.to_vec());
        let inner = parse(bytes, file)?;
        guarded(file, || Self::wrap(inner, Described::default(), files, &Value::Null))
    }

    /// From a model's folder; `model` is its `config.json`. `None` where it has no tokenizer.
    ///
    /// # Errors
    /// Files that are damaged or do not fit together.
    pub fn from_folder(folder: &Path, model: &Value) -> Result<Option<Self>, ModelError> {
        Self::from_files(SmallFiles::read(folder)?, model)
    }

    /// The same from files in memory.
    ///
    /// # Errors
    /// As [`from_folder`](Self::from_folder).
    pub fn from_files(files: SmallFiles, model: &Value) -> Result<Option<Self>, ModelError> {
        let Some((form, names)) = kinds::choose(&|name| files.get(name).is_some()) else { return Ok(None) };
        let mut told = Described::read(&files, model)?;
        let name = files.shown(names[0]);
        let bytes = |i: usize| files.get(names[i]).unwrap_or_default();
        let text = |i: usize| files.text(names[i]).map(Option::unwrap_or_default);
        let built = match form {
            Form::Json => parse(bytes(0), &name)?,
            Form::VocabMerges => byte_level::from_vocab(text(0)?.as_bytes(), text(1)?, &name)?,
            Form::SentencePiece => guarded(&name, || sentencepiece::from_model(bytes(0), &told, &name))?,
            Form::WordPiece => wordpiece::from_vocab(text(0)?, &mut told, &name)?,
        };
        if told.class == "GPT2Tokenizer" || (told.class.is_empty() && form == Form::VocabMerges) {
            for role in ["bos_token", "eos_token", "unk_token"] {
                told.default_role(role, END_OF_TEXT);
            }
        }
        guarded(&name, || {
            let mut inner = built;
            let too_long = |problem| ModelError::file(&name, problem).with_hint(FETCH_AGAIN);
            judge_tokens(&inner, &told).map_err(too_long)?;
            let adjusted = adjust(&mut inner, &told).and_then(|()| told.add_to(&mut inner));
            adjusted
                .map_err(|e| ModelError::file(&name, format!("does not fit the files beside it: {e}")))?;
            Self::wrap(inner, told, files, model).map(Some)
        })
    }

    fn wrap(mut inner: Inner, told: Described, files: SmallFiles, model: &Value) -> Result<Self, ModelError> {
        // A truncation or padding stored in the file would silently change what is run.
        let _ = inner.with_truncation(None);
        inner.with_padding(None);
        let generation = Value::Object(files.fields("generation_config.json")?);
        let ends = special::ends(&inner, &told, model, &generation);
        let chat_template = chat::template(&files, &told.config)?;
        let roles = told.roles.iter().map(|(role, token)| (role.clone(), token.content.clone())).collect();
        let (surface, cuts) = (Surface::of(&inner), Cuts::of(&inner));
        let multiplies = inner.get_normalizer().is_some_and(bounds::multiplies);
        Ok(Tokenizer { surface, cuts, multiplies, inner, ends, roles, chat_template, files })
    }

    /// Number of ids, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The token that ends a document, where there is one; see [`special::ends`].
    pub fn end_of_document(&self) -> Option<u32> {
        self.ends.first().copied()
    }

    /// Whether generation stops at this token.
    pub fn is_end(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }

    /// Whether a token stands for itself and not for text: ends, beginnings, padding and the like.
    pub fn is_special(&self, id: u32) -> bool {
        self.is_end(id) || self.added(id).is_some_and(|token| token.special)
    }

    /// The chat template that came with the tokenizer, in Jinja.
    pub fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }

    /// Special tokens by role, such as (`eos_token`, `</s>`), as a chat template asks for them.
    pub fn special_tokens(&self) -> impl Iterator<Item = (&str, &str)> {
        self.roles.iter().map(|(role, token)| (role.as_str(), token.as_str()))
    }

    /// The files that go into every folder saved with this tokenizer: those that the model came with, byte for byte,
    /// and `tokenizer.json` beside `vocab.json` and `merges.txt`, for readers that know nothing else.
    ///
    /// # Errors
    /// Of the library.
    pub fn saved_files(&self) -> Result<Vec<SavedFile<'_>>, ModelError> {
        let mut saved: Vec<SavedFile> =
            self.files.iter().map(|(name, bytes)| (name, Cow::Borrowed(bytes))).collect();
        let has = |name: &str| self.files.get(name).is_some();
        // Whatever else there is holds more than this JSON would say, such as what is put around a text.
        if !has(JSON) && (has("vocab.json") || has("aitextgen.tokenizer.json")) {
            saved.push((JSON, Cow::Owned(self.to_json()?.into_bytes())));
        }
        Ok(saved)
    }

    /// Text to tokens; nothing is added before or after.
    ///
    /// # Errors
    /// Text that the tokenizer refuses.
    pub fn encode(&self, text: &str) -> Result<Vec<Piece>, ModelError> {
        self.judge(text)?;
        let encoding = encoded(|| self.inner.encode(text, false))?;
        let pieces = encoding.get_ids().iter().zip(encoding.get_offsets());
        Ok(pieces.map(|(&id, &span)| Piece { id, span }).collect())
    }

    /// The ids of a text of any length: those of [`Tokenizer::encode`]. A long text is cut where that is proven to change
    /// nothing, and its parts are spread over threads.
    ///
    /// # Errors
    /// Text that the tokenizer refuses.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        self.judge(text)?;
        let parts = self.cuts.parts(text, cuts::WINDOW);
        if let [whole] = parts[..] {
            return self.ids_of(whole);
        }
        // Threads that end: the library keeps a cache per tokenizer on every thread, and those of the global pool would
        // keep that of every model that was ever open.
        let threads = parts.len().min(rayon::current_num_threads());
        let all = || parts.par_iter().map(|part| self.ids_of(part)).collect::<Result<Vec<_>, _>>();
        let ids = match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
            Ok(pool) => pool.install(all),
            Err(_) => all(),
        };
        Ok(ids?.concat())
    }

    /// Refuses a text that the normaliser would make many times as long.
    fn judge(&self, text: &str) -> Result<(), ModelError> {
        let Some(normalizer) = self.inner.get_normalizer().filter(|_| self.multiplies) else { return Ok(()) };
        let file = || self.files.iter().next().map_or(JSON.to_owned(), |(name, _)| self.files.shown(name));
        caught(|| bounds::judge_text(normalizer, text))
            .unwrap_or_else(|| Err("has a normaliser that is damaged".to_owned()))
            .map_err(|problem| ModelError::file(file(), problem).with_hint(FETCH_AGAIN))
    }

    fn ids_of(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        Ok(encoded(|| self.inner.encode_fast(text, false))?.get_ids().to_vec())
    }

    /// The exact bytes of one token; empty for an unknown id. A tokenizer that loses spaces writes one before every
    /// word; see [`texts`](Self::texts) for those of a text that is at hand.
    pub fn bytes(&self, id: u32) -> Vec<u8> {
        let Some(matched) = self.inner.id_to_token(id) else { return Vec::new() };
        match self.added(id) {
            Some(token) if self.surface.loses_spaces() && self.is_unknown(&token.content) => {
                self.surface.bytes(&token.content)
            }
            Some(token) => self.surface.added(&token.content, &matched),
            None => self.surface.bytes(&matched),
        }
    }

    /// The exact bytes of the tokens of `text`. What tokens alone cannot say comes from the text: spaces that the
    /// tokenizer loses, those that an added token takes along, and those that it puts where the text has none.
    pub fn texts(&self, text: &str, pieces: &[Piece]) -> Vec<Vec<u8>> {
        let (apart, mut end) = (self.surface.loses_spaces(), 0);
        let one = |p: &Piece| {
            let (from, to) = p.span;
            let own = text.get(from..to).unwrap_or_default();
            let gap = text.get(end..from).unwrap_or_default();
            end = end.max(to);
            if self.added(p.id).is_some_and(|token| token.lstrip || token.rstrip) {
                return own.as_bytes().to_vec();
            }
            let bytes = self.bytes(p.id);
            let Some(bare) = bytes.strip_prefix(b" ") else { return spaced(apart, gap, &bytes) };
            if apart {
                return spaced(apart, gap, bare);
            }
            let there = gap.contains(is_space) || own.starts_with(is_space);
            if there || bare.is_empty() { bytes } else { bare.to_vec() }
        };
        pieces.iter().map(one).collect()
    }

    fn added(&self, id: u32) -> Option<&AddedToken> {
        self.inner.get_added_vocabulary().get_added_tokens_decoder().get(&id)
    }

    fn is_unknown(&self, content: &str) -> bool {
        self.roles.iter().any(|(role, token)| role == "unk_token" && token == content)
    }

    /// Whether a token begins a word, or stands alone.
    pub fn begins_word(&self, id: u32) -> bool {
        let piece = self.inner.id_to_token(id).unwrap_or_default();
        self.is_special(id) || self.surface.begins_word(&piece, &self.bytes(id))
    }

    /// Exact text of ids, with U+FFFD for bytes that are not UTF-8.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.bytes(id)).collect();
        String::from_utf8_lossy(self.surface.trimmed(&bytes)).into_owned()
    }

    /// How a token looks on screen: see [`visible`]; an id without a token is shown as `#id`.
    pub fn display(&self, id: u32) -> String {
        let bytes = self.bytes(id);
        if bytes.is_empty() { format!("#{id}") } else { visible(&bytes) }
    }

    /// The tokenizer as `tokenizer.json`, for a saved checkpoint.
    ///
    /// # Errors
    /// Of the library.
    pub fn to_json(&self) -> Result<String, ModelError> {
        self.inner.to_string(true).map_err(|e| ModelError::file(JSON, format!("cannot be written: {e}")))
    }
}

/// What the library makes of a text; it panics on some damaged files.
fn encoded(encode: impl FnOnce() -> tokenizers::Result<Encoding>) -> Result<Encoding, ModelError> {
    let refused = |e: &str| ModelError::input(format!("the text cannot be tokenised: {e}"));
    caught(encode)
        .ok_or_else(|| refused("the tokenizer's files are damaged"))?
        .map_err(|e| refused(&e.to_string()))
}

/// Applies what `tokenizer_config.json` says to a tokenizer, as transformers does for the class that it names.
fn adjust(inner: &mut Inner, told: &Described) -> tokenizers::Result<()> {
    wordpiece::adjust(inner, told)?;
    let generic = matches!(told.class.as_str(), "PreTrainedTokenizer" | "TokenizersBackend");
    if let Some(space) = told.switch("add_prefix_space")
        && !generic
        && let Some(PreTokenizerWrapper::ByteLevel(now)) = inner.get_pre_tokenizer()
    {
        let next = now.add_prefix_space(space);
        inner.with_pre_tokenizer(Some(next));
    }
    Ok(())
}

/// Reads `tokenizer.json`.
fn parse(bytes: &[u8], file: &str) -> Result<Inner, ModelError> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let bad = |problem: String| ModelError::file(file, problem).with_hint(FETCH_AGAIN);
    guarded(file, || {
        bounds::judge(bytes).map_err(bad)?;
        Inner::from_bytes(bytes).map_err(|e| bad(format!("not a tokenizer this program can read: {e}")))
    })
}

/// Judges what a normaliser makes of the tokens that the files beside a tokenizer add to it.
fn judge_tokens(inner: &Inner, told: &Described) -> Result<(), String> {
    let Some(normalizer) = inner.get_normalizer().filter(|n| bounds::multiplies(n)) else { return Ok(()) };
    let tokens = told.roles.values().chain(&told.added).chain(&told.extra).filter(|t| t.normalized);
    tokens.into_iter().try_for_each(|token| bounds::judge_text(normalizer, &token.content))
}

/// White space, or the sign that stands for it.
fn is_space(c: char) -> bool {
    c.is_whitespace() || c == '▁'
}

/// A word as it stands in the text, for a tokenizer that loses spaces.
fn spaced(apart: bool, gap: &str, word: &[u8]) -> Vec<u8> {
    let space: &[u8] = if apart && gap.contains(char::is_whitespace) { b" " } else { b"" };
    [space, word].concat()
}
