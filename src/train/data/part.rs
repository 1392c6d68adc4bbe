//! A part of a corpus, for measuring: as much of the held-out text as there is time for. Pure.

use super::{Corpus, drawn_order};

impl Corpus {
    /// `tokens` tokens of whole documents in an order drawn from `seed`, the last of them cut; all of it where there are no
    /// more. `sizes` are the documents' bytes. The part keeps the order of the text.
    pub fn part(&self, sizes: &[usize], tokens: usize, seed: u64) -> Corpus {
        if self.tokens.len() <= tokens {
            return self.clone();
        }
        let (mut taken, mut left) = (Vec::new(), tokens);
        for index in drawn_order(self.documents, seed) {
            if left == 0 {
                break;
            }
            let len = self.document(index).len().min(left);
            left -= len;
            taken.push((index, len));
        }
        taken.sort_unstable();
        let (mut out, mut starts, mut bytes) = (Vec::with_capacity(tokens), Vec::new(), 0);
        let mut counted = Vec::new();
        for (index, len) in taken {
            let whole = self.document(index);
            starts.push(out.len() as u64);
            out.extend_from_slice(&whole[..len]);
            let at = self.starts[index] as usize;
            counted.extend((at..at + len).map(|token| self.counts(token)));
            // Of a document that is cut, the bytes are shared out over its tokens.
            let size = sizes.get(index).copied().unwrap_or(0);
            bytes += size * len / whole.len().max(1);
        }
        Corpus::from_tokens(out, starts, bytes, self.eot).counting(counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_drawn_from_everywhere_and_has_the_size_asked_for() {
        let starts: Vec<u64> = (0..100).map(|d| d * 10).collect();
        let corpus = Corpus::from_tokens((0..1000).collect(), starts, 4000, None);
        let sizes = [40; 100];
        let part = corpus.part(&sizes, 105, 3);
        assert_eq!((part.tokens.len(), part.documents, part.bytes), (105, 11, 420));
        assert!(part.tokens.windows(2).all(|w| w[0] < w[1]), "the order of the text");
        assert!(part.tokens[0] < 500 && part.tokens[104] >= 500, "{:?}", part.starts);
        assert_eq!(part, corpus.part(&sizes, 105, 3));
        assert_ne!(part, corpus.part(&sizes, 105, 4));
        assert_eq!(corpus.part(&sizes, 1000, 3), corpus);
    }
}
