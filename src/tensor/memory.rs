//! Memory: large pages for weights where the system has them, since products walk weights in long strides and would
//! otherwise spend their time on address translation; and what the allocator keeps between passes.

use std::mem::MaybeUninit;

/// Makes the allocator keep freed memory. Every pass and step asks for the same arrays again; given back in between,
/// the system clears each of their pages again, which took a third of a training step. To be called first in a program.
pub fn keep() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: they only set numbers in the allocator.
    unsafe {
        // One arena: those of other threads than the main one keep nothing beyond 64 MiB, and passes run on workers.
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        // Never on its own: a step of a large model frees gigabytes and asks for them again.
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}

/// Gives memory that nobody uses back to the system: after a run, or when a model goes.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// An empty vector with room for `n` numbers. Large ones ask the system for large pages, which also makes the first
/// writing of them cheaper; a system that refuses changes nothing but speed.
pub fn room<T>(n: usize) -> Vec<T> {
    let values: Vec<T> = Vec::with_capacity(n);
    advise(values.as_ptr() as usize, n * size_of::<T>());
    values
}

/// `n` numbers, as `write` writes them: nothing is cleared before.
///
/// # Safety
/// `write` writes every number that it is given.
pub unsafe fn written(n: usize, write: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut values = room(n);
    write(&mut values.spare_capacity_mut()[..n]);
    // SAFETY: the contract.
    unsafe { values.set_len(n) };
    values
}

/// Numbers as a kernel sees an output that it fills; it never takes a number away.
pub(super) fn filled(values: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: every f32 may stand where none is expected, and kernels only write whole numbers.
    unsafe { &mut *(std::ptr::from_mut(values) as *mut [MaybeUninit<f32>]) }
}

#[cfg(target_os = "linux")]
fn advise(start: usize, bytes: usize) {
    /// The usual size of a large page.
    const LARGE: usize = 2 << 20;
    let from = start.next_multiple_of(LARGE);
    let to = (start + bytes) / LARGE * LARGE;
    if to > from {
        // SAFETY: the range lies inside one allocation of ours; the advice does not change what it holds.
        unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise(_start: usize, _bytes: usize) {}
