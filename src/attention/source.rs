//! What this room reads from a forward pass. `model::Trace` implements it; tests use random maps.

pub use crate::model::trace::Received;

/// Attention maps of one pass, computed when looked at.
pub trait AttentionSource: Sync {
    fn n_layer(&self) -> usize;
    fn n_head(&self) -> usize;
    /// Number of tokens `T`.
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Writes the map of one head, row-major `[T, T]`: `out[t * T + i]` is what query `t` gives key `i`;
    /// exactly 0 where `i > t` or the edge is hidden; rows sum to 1 (a skipped row is all zeros).
    fn map(&self, layer: usize, head: usize, out: &mut [f32]);
    /// Writes `‖W_O v_i‖` (L2, this head's slice of the output projection) for every key, `[T]`.
    fn value_norms(&self, layer: usize, head: usize, out: &mut [f32]);
    /// What keys received from all queries, where the pass summed it on its way; `None` sends the reader to the map.
    fn received(&self, _layer: usize, _head: usize) -> Option<Received> {
        None
    }
}

impl AttentionSource for crate::model::Trace {
    fn n_layer(&self) -> usize {
        self.layers.len()
    }

    fn n_head(&self) -> usize {
        self.config.n_head
    }

    fn len(&self) -> usize {
        crate::model::Trace::len(self)
    }

    fn map(&self, layer: usize, head: usize, out: &mut [f32]) {
        // Shapes were checked when the trace was made; a failure here would be a bug, and zeros are visible.
        if self.map_into(layer, head, out).is_err() {
            out.fill(0.0);
        }
    }

    fn value_norms(&self, layer: usize, head: usize, out: &mut [f32]) {
        if self.value_norms_into(layer, head, out).is_err() {
            out.fill(0.0);
        }
    }

    fn received(&self, layer: usize, head: usize) -> Option<Received> {
        crate::model::Trace::received(self, layer, head)
    }
}
