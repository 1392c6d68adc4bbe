//! One array that several tasks write, each its own elements.

/// A pointer whose elements are shared out among tasks.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(*mut T);
// SAFETY: every task uses elements of its own, which may come from another thread.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub fn new(start: *mut T) -> Self {
        Shared(start)
    }

    /// # Safety
    /// `i` lies inside the array.
    pub unsafe fn at(self, i: usize) -> *mut T {
        // SAFETY: the contract above.
        unsafe { self.0.add(i) }
    }

    /// # Safety
    /// `i` lies inside, and no other task touches it.
    pub unsafe fn set(self, i: usize, value: T) {
        // SAFETY: the contract above.
        unsafe { self.0.add(i).write(value) }
    }

    /// # Safety
    /// The stretch lies inside, and no other task uses it meanwhile.
    pub unsafe fn stretch<'a>(self, at: usize, len: usize) -> &'a mut [T] {
        // SAFETY: the contract above.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(at), len) }
    }
}
