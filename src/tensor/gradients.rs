//! Gradients of variables, each summed in one place. An operator that knows its parameters adds what it finds straight to
//! their sums; the library's own pass would write every share to a matrix of its own and add that to a matrix of zeros, on
//! one thread. Sums belong to the thread that runs the backward pass.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, TensorId, bail};
use rayon::prelude::*;

use super::kernels::matmul::{Threads, View, matmul, product_of};

type Sums = HashMap<TensorId, (Tensor, Sum)>;

thread_local! {
    /// The sums that operators on this thread add to, while a backward pass runs.
    static SUMS: RefCell<Option<Sums>> = const { RefCell::new(None) };
    /// Gradients that an operator on this thread found by a pass of its own.
    static FOUND: RefCell<Vec<(Tensor, Tensor)>> = const { RefCell::new(Vec::new()) };
}

/// Adds a share of a variable's gradient that an operator found on its way back.
///
/// # Errors
/// No pass of [`Gradients`] runs on this thread: the gradient would be lost.
pub(crate) fn add_found(var: &Tensor, share: Tensor) -> Result<()> {
    if SUMS.with_borrow(Option::is_none) {
        bail!("gradients of this operator are found by `tensor::gradients`, not by the library's own pass");
    }
    FOUND.with_borrow_mut(|found| found.push((var.clone(), share)));
    Ok(())
}

/// Gradients of `loss` with respect to every variable that leads to it.
///
/// # Errors
/// Of an operator, or of one that was differentiated already.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let mut gradients = Gradients::default();
    gradients.add(loss)?;
    gradients.finish()
}

/// Gradients of a sum of losses, one after another.
#[derive(Default)]
pub struct Gradients {
    sums: Sums,
    /// Those of operators that do not know their parameters.
    others: HashMap<TensorId, (Tensor, Tensor)>,
    losses: usize,
}

impl Gradients {
    /// Adds the gradients of one more loss.
    ///
    /// # Errors
    /// As [`backward`].
    pub fn add(&mut self, loss: &Tensor) -> Result<()> {
        let outer = FOUND.take();
        let on_loan = OnLoan { sums: &mut self.sums, outer: None }.begin();
        let found = loss.backward();
        drop(on_loan);
        let by_operators = FOUND.replace(outer);
        let mut found = found?;
        // Only what belongs to variables: the library leaves gradients of constants behind, too.
        for var in loss.sorted_nodes().into_iter().filter(|node| node.is_variable()) {
            if let Some(share) = found.remove(var) {
                self.add_share(var, share)?;
            }
        }
        for (var, share) in by_operators {
            self.add_share(&var, share)?;
        }
        self.losses += 1;
        Ok(())
    }

    fn add_share(&mut self, var: &Tensor, share: Tensor) -> Result<()> {
        let sum = match self.others.remove(&var.id()) {
            Some((_, sum)) => (sum + share)?,
            None => share,
        };
        self.others.insert(var.id(), (var.clone(), sum));
        Ok(())
    }

    /// All sums, by variable.
    ///
    /// # Errors
    /// No loss was added.
    pub fn finish(self) -> Result<GradStore> {
        if self.losses == 0 {
            bail!("there is no loss to take gradients of");
        }
        let mut grads = GradStore::default();
        for (var, sum) in self.others.into_values() {
            grads.insert(&var, sum);
        }
        for (var, sum) in self.sums.into_values() {
            let sum = Tensor::from_vec(sum.into_values(), var.shape(), var.device())?;
            let sum = match grads.remove(&var) {
                Some(other) => (sum + other)?,
                None => sum,
            };
            grads.insert(&var, sum);
        }
        Ok(grads)
    }
}

/// Sums lent to the operators of this thread; they come back when this goes.
struct OnLoan<'a> {
    sums: &'a mut Sums,
    /// Of a pass that waits on this thread while another one runs on it.
    outer: Option<Sums>,
}

impl OnLoan<'_> {
    fn begin(mut self) -> Self {
        self.outer = SUMS.replace(Some(std::mem::take(self.sums)));
        self
    }
}

impl Drop for OnLoan<'_> {
    fn drop(&mut self) {
        *self.sums = SUMS.replace(self.outer.take()).unwrap_or_default();
    }
}

/// Whether gradients of `tensor` can be added to a sum: it is a variable, and a pass of [`Gradients`] runs on this thread.
pub(crate) fn is_summed(tensor: &Tensor) -> bool {
    tensor.is_variable() && SUMS.with_borrow(Option::is_some)
}

/// Lets `add` add a share to the sum of a variable's gradients.
///
/// # Errors
/// No pass of [`Gradients`] runs on this thread: the gradient would be lost.
pub(crate) fn add_to(var: &Tensor, add: impl FnOnce(&mut Sum)) -> Result<()> {
    // Taken out meanwhile: a thread that waits for others inside `add` may run another pass.
    let taken = SUMS.with_borrow_mut(|sums| sums.as_mut().map(|sums| sums.remove(&var.id())));
    let Some(taken) = taken else {
        bail!("gradients of this operator are found by `tensor::gradients`, not by the library's own pass");
    };
    let empty = || (var.clone(), Sum::new(var.elem_count()));
    let (var, mut sum) = taken.unwrap_or_else(empty);
    add(&mut sum);
    SUMS.with_borrow_mut(|sums| sums.as_mut().map(|sums| sums.insert(var.id(), (var, sum))));
    Ok(())
}

/// The sum of a variable's gradients; without numbers until the first share.
pub(crate) struct Sum {
    values: Vec<f32>,
    size: usize,
}

impl Sum {
    /// Of `size` numbers.
    pub fn new(size: usize) -> Self {
        Sum { values: Vec::new(), size }
    }

    /// The numbers; zeros where nothing was added.
    pub fn into_values(self) -> Vec<f32> {
        if self.values.is_empty() { vec![0.0; self.size] } else { self.values }
    }

    /// Adds `a · b`.
    pub fn add_product(&mut self, a: View, b: View) {
        debug_assert_eq!(a.rows * b.cols, self.size, "a gradient of another size");
        if self.values.is_empty() {
            self.values = product_of(a, b);
        } else {
            matmul(&mut self.values, b.cols, a, b, 1.0, 1.0, Threads::Pool);
        }
    }

    /// Adds `share` times `factor`.
    pub fn add(&mut self, mut share: Vec<f32>, factor: f32) {
        debug_assert_eq!(share.len(), self.size, "a gradient of another size");
        if self.values.is_empty() {
            if factor != 1.0 {
                share.par_iter_mut().for_each(|x| *x *= factor);
            }
            self.values = share;
        } else {
            self.values.par_iter_mut().zip(&share).for_each(|(sum, x)| *sum += factor * x);
        }
    }

    /// Adds row `r` of `rows` to row `at[r]`, in order.
    pub fn add_rows(&mut self, at: &[u32], rows: &[f32]) {
        let width = rows.len() / at.len().max(1);
        if self.values.is_empty() {
            self.values = vec![0.0; self.size];
        }
        for (&at, row) in at.iter().zip(rows.chunks_exact(width.max(1))) {
            let sums = &mut self.values[at as usize * width..][..width];
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
    }
}
