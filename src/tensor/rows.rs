//! Rows that grow: the residuals, keys and values of one text. A text that became longer shares its earlier rows with
//! the pass before it instead of copying them; any other change copies what it keeps.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Rows kept free behind the last one, for tokens that are typed next.
pub const SLACK: usize = 64;

/// One allocation. Rows below `claimed` are never written again; rows above it belong to nobody.
struct Buffer {
    cells: Box<[UnsafeCell<MaybeUninit<f32>>]>,
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

    /// The first `keep` rows of this matrix, followed by `extra` rows that `write` fills. The kept rows are shared when
    /// they are all that was ever written and there is room behind them.
    ///
    /// # Safety
    /// `write` writes every element that it is given.
    pub unsafe fn grow(
        &self,
        keep: usize,
        extra: usize,
        write: impl FnOnce(&mut [MaybeUninit<f32>]),
    ) -> Rows {
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
            // Nothing is cleared: new rows are written below, and slack is not read before it is.
            let cells = uninit((len + SLACK) * width);
            let buffer = Buffer { cells, claimed: AtomicUsize::new(len) };
            // SAFETY: the buffer is new and has room for `keep` rows.
            unsafe {
                let to = UnsafeCell::raw_get(buffer.cells.as_ptr());
                std::ptr::copy_nonoverlapping(self.values().as_ptr(), to.cast::<f32>(), keep * width);
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

/// Cells that hold nothing yet.
fn uninit(n: usize) -> Box<[UnsafeCell<MaybeUninit<f32>>]> {
    let whole = Box::into_raw(Box::<[f32]>::new_uninit_slice(n));
    // SAFETY: a cell has the layout of what it holds.
    unsafe { Box::from_raw(whole as *mut [UnsafeCell<MaybeUninit<f32>>]) }
}

/// Copies `from` to rows that hold nothing yet.
///
/// # Panics
/// When the lengths differ.
pub fn copy_to(to: &mut [MaybeUninit<f32>], from: &[f32]) {
    assert_eq!(to.len(), from.len(), "rows of another length");
    to.iter_mut().zip(from).for_each(|(to, &x)| _ = to.write(x));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(rows: &Rows, keep: usize, new: &[f32]) -> Rows {
        // SAFETY: a copy writes every element.
        unsafe { rows.grow(keep, new.len() / rows.width, |to| copy_to(to, new)) }
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
