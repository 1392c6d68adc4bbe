//! GPT-2's block on plain slices of the CPU, there and back. Norms and activations are computed again on the way back instead of
//! kept. [`super::network`]'s block is its plain twin.

use std::borrow::Cow;

use candle_core::{Result, Tensor, bail};

use super::network::Block;
use crate::model::host::{AttendBack, AttendRows, Back, HostBlock, HostRows};
use crate::model::layers::Projection;
use crate::model::layers::projection::activated;
use crate::tensor::dropout::Mask;
use crate::tensor::kernels::activation;
use crate::tensor::kernels::sums::add;

impl HostBlock for Block {
    fn tensors(&self) -> Vec<&Tensor> {
        vec![&self.ln_1.weight, &self.ln_1.bias, &self.ln_2.weight, &self.ln_2.bias]
    }

    fn projections(&self) -> Vec<&Projection> {
        vec![&self.c_attn, &self.attn_proj, &self.c_fc, &self.mlp_proj]
    }

    /// Keeps the heads' output `[n, D]`, the rows between attention and MLP `[n, D]`, and the MLP's inner rows before their
    /// activation `[n, inner]`.
    fn forward(&self, rows: &mut HostRows, attend: AttendRows) -> Result<()> {
        let heads = self.c_attn.with_writer(&self.ln_1.rows(&rows.x)?, attend)?;
        self.attn_proj.add_rows(&heads, &mut rows.x, rows.dropout[0])?;
        let normed = self.ln_2.rows(&rows.x)?;
        let inner = if let Some(kept) = &mut rows.kept {
            let hidden = self.c_fc.rows(&normed, None)?;
            let inner = activated(self.activation, &hidden);
            kept.extend([heads, rows.x.clone(), hidden]);
            inner
        } else {
            self.c_fc.rows(&normed, Some(self.activation))?
        };
        drop(normed);
        self.mlp_proj.add_rows(&inner, &mut rows.x, rows.dropout[1])
    }

    fn backward(&self, back: Back, attend: AttendBack) -> Result<Option<Vec<f32>>> {
        let Back { x, grad, kept, dropout, wanted } = back;
        let [heads, middle, hidden] = &kept[..] else { bail!("the way there kept other rows") };
        let d_inner = {
            let grad = dropped(grad, dropout[1]);
            self.mlp_proj.learn(|| Ok(activated(self.activation, hidden).into()), &grad)?;
            self.mlp_proj.rows_back(&grad)?
        };
        let d_hidden = activation::backward(self.activation, hidden, &d_inner);
        drop(d_inner);
        self.c_fc.learn(|| Ok(self.ln_2.rows(middle)?.into()), &d_hidden)?;
        let mut d_middle = self.ln_2.rows_back(middle, &self.c_fc.rows_back(&d_hidden)?)?;
        drop(d_hidden);
        add(&mut d_middle, grad);
        let d_heads = {
            let grad = dropped(&d_middle, dropout[0]);
            self.attn_proj.learn(|| Ok(Cow::Borrowed(heads)), &grad)?;
            self.attn_proj.rows_back(&grad)?
        };
        let d_qkv = attend(heads, &d_heads)?;
        self.c_attn.learn(|| Ok(self.ln_1.rows(x)?.into()), &d_qkv)?;
        if !wanted && !self.ln_1.weight.track_op() && !self.ln_1.bias.track_op() {
            return Ok(None);
        }
        let mut dx = self.ln_1.rows_back(x, &self.c_attn.rows_back(&d_qkv)?)?;
        add(&mut dx, &d_middle);
        Ok(wanted.then_some(dx))
    }
}

/// The gradient under a dropout.
fn dropped(grad: &[f32], mask: Option<Mask>) -> Cow<'_, [f32]> {
    let mut grad = Cow::Borrowed(grad);
    if let Some(mask) = mask {
        mask.apply_all(grad.to_mut());
    }
    grad
}
