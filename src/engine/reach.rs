//! How long a text an exploration may read.

use crate::mask::types::{MaskSettings, Op, Scope};

/// How long a text may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The model's context.
    Context,
    /// A rolling window forgets as it goes, so that a text may be longer.
    Beyond,
}

/// Longest text that a rolling window reads, in tokens: its map is kept whole.
const LONGEST: usize = 2048;

impl Reach {
    /// What a mask allows: only one that deletes at boundaries makes room for more.
    pub fn of(mask: &MaskSettings) -> Self {
        let parts = mask.mix.as_ref().map_or(&[][..], |m| m.parts());
        let deletes = |op: Op| op.works_in_blocks() && op != Op::Keep;
        let all = if parts.is_empty() { deletes(mask.op) } else { parts.iter().all(|p| deletes(p.op)) };
        if mask.scope == Scope::Block && all { Reach::Beyond } else { Reach::Context }
    }

    pub fn limit(self, context: usize) -> usize {
        match self {
            Reach::Context => context,
            Reach::Beyond => context.max(LONGEST),
        }
    }
}
