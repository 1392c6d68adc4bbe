//! What one forward pass is asked to compute: ids, positions, embedding overrides, visibility, skipped rows.
//! Plain data, so that two inputs can be compared and the longest shared prefix of rows reused.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::ModelError;
use super::hooks::Hooks;
use super::tokenizer::Tokenizer;

/// Refuses ids that have no row in an embedding of `rows`: a tokenizer may know tokens that its model was never resized
/// for, and only their use is a fault.
///
/// # Errors
/// The first such id, by the token that it stands for where `tokenizer` knows it.
pub fn check_rows(ids: &[u32], rows: usize, tokenizer: Option<&Tokenizer>) -> Result<(), ModelError> {
    let Some((at, id)) = ids.iter().enumerate().find(|(_, id)| **id as usize >= rows) else { return Ok(()) };
    let known = tokenizer.filter(|t| !t.bytes(*id).is_empty());
    let name = known.map(|t| t.display(*id));
    let token = name.map_or_else(|| format!("id {id}"), |name| format!("the token {name} ({id})"));
    let problem = format!(
        "{token} at position {at} is out of range: the model's vocabulary has {rows} tokens (0 to {})",
        rows.saturating_sub(1)
    );
    Err(ModelError::input(problem).with_hint(
        "use ids below the model's vocabulary size, or check that tokenizer and model belong together",
    ))
}

/// Which queries may read which keys, on top of causality (`key ≤ query`). A query always sees itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Visibility {
    /// Every earlier position and itself.
    #[default]
    Causal,
    /// `hide_from[i]`: the first query position that no longer sees key `i` (itself excepted);
    /// `u32::MAX` never hides it, `0` hides it from every later query.
    HideFrom(Vec<u32>),
    /// Row-major `[T, T]`: `blocked[t * T + i]` cuts the edge from query `t` to key `i`.
    Pairs(Arc<Vec<bool>>),
    /// As `HideFrom`, one list per head, layer-major `[L·H][T]`.
    ByHead(Arc<Vec<Vec<u32>>>),
}

impl Visibility {
    /// Whether query `t` may read key `i` in a sequence of `len` tokens, in at least one head.
    pub fn visible(&self, len: usize, t: usize, i: usize) -> bool {
        match self {
            Visibility::ByHead(heads) if i < t => heads.iter().any(|from| reads(from, t, i)),
            _ => self.visible_in(0, len, t, i),
        }
    }

    /// Whether query `t` may read key `i` in one head, counted layer-major over the model.
    pub fn visible_in(&self, head: usize, len: usize, t: usize, i: usize) -> bool {
        if i >= t {
            return i == t;
        }
        match self {
            Visibility::Causal => true,
            Visibility::HideFrom(from) => reads(from, t, i),
            Visibility::Pairs(blocked) => !blocked[t * len + i],
            Visibility::ByHead(heads) => heads.get(head).is_none_or(|from| reads(from, t, i)),
        }
    }

    /// The same for a sequence of `len` tokens of which only `rows` (ascending) are left: queries and keys by their new
    /// places.
    pub fn of_rows(&self, rows: &[usize], len: usize) -> Visibility {
        let place = |query: u32| match query {
            u32::MAX => u32::MAX,
            query => rows.partition_point(|&r| r < query as usize) as u32,
        };
        let places = |from: &Vec<u32>| -> Vec<u32> { rows.iter().map(|&i| place(from[i])).collect() };
        let open = |from: &Vec<u32>| from.iter().all(|f| *f == u32::MAX);
        match self {
            Visibility::Causal => Visibility::Causal,
            Visibility::HideFrom(from) => {
                let from = places(from);
                if open(&from) { Visibility::Causal } else { Visibility::HideFrom(from) }
            }
            Visibility::ByHead(heads) => {
                let heads: Vec<Vec<u32>> = heads.iter().map(places).collect();
                if heads.iter().all(open) { Visibility::Causal } else { Visibility::ByHead(Arc::new(heads)) }
            }
            Visibility::Pairs(blocked) => {
                let cell = |t: usize, i: usize| blocked[t * len + i];
                let some = rows.iter().flat_map(|&t| rows.iter().map(move |&i| (t, i)));
                Visibility::Pairs(Arc::new(some.map(|(t, i)| cell(t, i)).collect()))
            }
        }
    }

    /// Heads that are told apart, or 1 where all heads are told the same.
    pub fn heads(&self) -> usize {
        match self {
            Visibility::ByHead(heads) => heads.len(),
            _ => 1,
        }
    }
}

fn reads(hide_from: &[u32], t: usize, i: usize) -> bool {
    hide_from[i] == u32::MAX || (t as u64) < u64::from(hide_from[i])
}

/// The input of one forward pass over one sequence of `T = ids.len()` tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input {
    pub ids: Vec<u32>,
    /// Position ids; `None` means `0..T`.
    pub position_ids: Option<Vec<u32>>,
    /// Token embeddings (`[n_embd]` each) that take the place of the row of `ids[i]` at position `i`.
    pub replaced: BTreeMap<usize, Arc<[f32]>>,
    pub visibility: Visibility,
    /// Positions that bypass every layer but the first and the last (random-LTD); sorted, without repeats.
    pub skipped: Vec<usize>,
    /// What is done differently at single places.
    pub hooks: Hooks,
}

impl Input {
    /// A plain pass over `ids`.
    pub fn plain(ids: Vec<u32>) -> Self {
        Input { ids, ..Input::default() }
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The same for some of its rows, ascending, each at the position that it has.
    pub fn of_rows(&self, rows: &[usize]) -> Self {
        let place = |r: usize| rows.binary_search(&r).ok();
        Input {
            ids: rows.iter().map(|&r| self.ids[r]).collect(),
            position_ids: Some(rows.iter().map(|&r| self.position(r)).collect()),
            replaced: self.replaced.iter().filter_map(|(&r, v)| Some((place(r)?, v.clone()))).collect(),
            visibility: self.visibility.of_rows(rows, self.len()),
            skipped: self.skipped.iter().filter_map(|&r| place(r)).collect(),
            hooks: self.hooks.of_rows(rows),
        }
    }

    /// Position id of row `t`.
    pub fn position(&self, t: usize) -> u32 {
        self.position_ids.as_ref().map_or(t as u32, |p| p[t])
    }
}
