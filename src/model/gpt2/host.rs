//! GPT-2's block on plain slices of the CPU, there and back. Norms and activations are computed again on the way back instead of
//! kept. [`super::network`]'s block is its plain twin.

use candle_core::{Result, Tensor, bail};

use super::network::Block;
use crate::model::host::{AttendBack, AttendRows, BackwardPass, HostBlock, HostRows, Normed};
use crate::model::layers::Projection;
use crate::model::layers::dropout::dropped;

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
        let (normed, moments) = self.ln_1.rows(&rows.x)?;
        let heads = self.c_attn.with_writer(&normed, attend)?;
        let first = Normed { rows: self.c_attn.learns().then_some(normed), moments };
        self.attn_proj.add_rows(&heads, &mut rows.x, rows.dropout[0])?;
        let (normed, moments) = self.ln_2.rows(&rows.x)?;
        let inner = if let Some(kept) = &mut rows.kept {
            let (hidden, inner) = self.c_fc.rows_twice(&normed, self.activation)?;
            let second = Normed { rows: self.c_fc.learns().then_some(normed), moments };
            kept.norms.extend([first, second]);
            kept.rows.extend([heads, rows.x.clone(), hidden]);
            inner
        } else {
            self.c_fc.rows(&normed, Some(self.activation))?
        };
        self.mlp_proj.add_rows(&inner, &mut rows.x, rows.dropout[1])
    }

    fn backward(&self, back: BackwardPass, attend: AttendBack) -> Result<Option<Vec<f32>>> {
        let BackwardPass { x, grad, kept, dropout, wanted } = back;
        let ([heads, middle, hidden], [first, second]) = (&kept.rows[..], &kept.norms[..]) else {
            bail!("the way there kept other rows")
        };
        let d_hidden = self.mlp_proj.activated_back(&dropped(grad, dropout[1]), hidden, self.activation)?;
        self.c_fc.learn(second.rows.as_deref(), &d_hidden)?;
        let d_normed = self.c_fc.rows_back(&d_hidden, None)?;
        drop(d_hidden);
        let d_middle = self.ln_2.rows_back((middle, &second.moments), &d_normed, grad)?;
        let d_heads = {
            let grad = dropped(&d_middle, dropout[0]);
            self.attn_proj.learn(Some(heads), &grad)?;
            self.attn_proj.rows_back(&grad, None)?
        };
        let d_qkv = attend(heads, &d_heads)?;
        self.c_attn.learn(first.rows.as_deref(), &d_qkv)?;
        if !wanted && !self.ln_1.weight.track_op() && !self.ln_1.bias.track_op() {
            return Ok(None);
        }
        let d_normed = self.c_attn.rows_back(&d_qkv, None)?;
        let dx = self.ln_1.rows_back((x, &first.moments), &d_normed, &d_middle)?;
        Ok(wanted.then_some(dx))
    }
}
