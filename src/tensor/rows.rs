//! Rows that grow: the residuals, keys and values of one text. A text that became longer shares its earlier rows with
//! the pass before it instead of copying them; any other change copies what it keeps.

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Rows kept free behind the last one, for tokens that are typed next.
const SLACK: usize = 64;

/// One allocation. Rows below `claimed` are never written again; rows above it belong to nobody.
struct Buffer {
    cells: Box<[UnsafeCell<f32>]>,
    claimed: AtomicUsize,
}
// SAFETY: a row is written once, by the one owner that claimed it, before any `Rows` that covers it exists.
unsafe impl Sync for Buffer {}

/// A row-major `[len, width]` matrix of f32 that never changes. Cloning shares it.
#[derive(Clone)]
pub struct Rows {
    buffer: Arc<Buffer>,
    len: usize,
    width: usize,
}

impl Rows {
    /// No rows yet.
    pub fn empty(width: usize) -> Self {
        let buffer = Buffer { cells: Box::new([]), claimed: AtomicUsize::new(0) };
        Rows { buffer: Arc::new(buffer), len: 0, width }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All values.
    pub fn values(&self) -> &[f32] {
        let n = self.len * self.width;
        // SAFETY: rows below `len` are claimed and written, and nobody writes them again; the cells are f32.
        unsafe { std::slice::from_raw_parts(self.buffer.cells.as_ptr().cast::<f32>(), n) }
    }

    /// The first `keep` rows of this matrix, followed by `extra` rows that `write` fills (they start as zeros or
    /// leftovers). The kept rows are shared when they are all that was ever written and there is room behind them.
    pub fn grow(&self, keep: usize, extra: usize, write: impl FnOnce(&mut [f32])) -> Rows {
        let keep = keep.min(self.len);
        let (len, width) = (keep + extra, self.width);
        let fits = len * width <= self.buffer.cells.len();
        let claim = || {
            let claimed = &self.buffer.claimed;
            claimed.compare_exchange(keep, len, Ordering::AcqRel, Ordering::Acquire).is_ok()
        };
        let buffer = if fits && claim() {
            self.buffer.clone()
        } else {
            // Zeroed pages cost nothing until they are touched, so the slack is free.
            let values = vec![0f32; (len + SLACK) * width];
            let cells: Box<[UnsafeCell<f32>]> = bytes_of(values);
            let buffer = Buffer { cells, claimed: AtomicUsize::new(len) };
            // SAFETY: the buffer is new and has room for `keep` rows.
            unsafe {
                let to = UnsafeCell::raw_get(buffer.cells.as_ptr());
                std::ptr::copy_nonoverlapping(self.values().as_ptr(), to, keep * width);
            }
            Arc::new(buffer)
        };
        // SAFETY: rows keep..len were claimed for this call alone, and no `Rows` covers them yet.
        let new = unsafe {
            let start = UnsafeCell::raw_get(buffer.cells.as_ptr().add(keep * width));
            std::slice::from_raw_parts_mut(start, extra * width)
        };
        write(new);
        Rows { buffer, len, width }
    }
}

/// The same allocation, seen as cells.
fn bytes_of(values: Vec<f32>) -> Box<[UnsafeCell<f32>]> {
    let whole = Box::into_raw(values.into_boxed_slice());
    // SAFETY: `UnsafeCell<f32>` has the layout of f32.
    unsafe { Box::from_raw(whole as *mut [UnsafeCell<f32>]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(rows: &Rows, keep: usize, new: &[f32]) -> Rows {
        rows.grow(keep, new.len() / rows.width, |to| to.copy_from_slice(new))
    }

    #[test]
    fn appended_rows_share_what_was_there() {
        let a = grown(&Rows::empty(2), 0, &[1.0, 2.0, 3.0, 4.0]);
        let b = grown(&a, 2, &[5.0, 6.0]);
        assert_eq!(a.values(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(b.values(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(a.values().as_ptr(), b.values().as_ptr());
    }

    #[test]
    fn a_second_continuation_and_an_edit_get_rows_of_their_own() {
        let a = grown(&Rows::empty(1), 0, &[1.0, 2.0, 3.0]);
        let b = grown(&a, 3, &[4.0]);
        let c = grown(&a, 3, &[5.0]);
        let d = grown(&b, 1, &[6.0, 7.0]);
        assert_eq!(
            (b.values(), c.values()),
            ([1.0, 2.0, 3.0, 4.0].as_slice(), [1.0, 2.0, 3.0, 5.0].as_slice())
        );
        assert_eq!(d.values(), [1.0, 6.0, 7.0]);
        assert_eq!(a.values(), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_full_buffer_moves() {
        let mut rows = grown(&Rows::empty(1), 0, &[0.0]);
        for i in 1..300 {
            rows = grown(&rows, i, &[i as f32]);
        }
        assert!(rows.values().iter().enumerate().all(|(i, &x)| x == i as f32));
    }
}
