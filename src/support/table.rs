//! Text tables: columns as wide as their content, two spaces between them.

use super::visible::{fit, width};

/// Rows of cells; a row may be shorter than others.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    /// Columns that end at the right.
    right: Vec<usize>,
    indent: usize,
    widest: Option<usize>,
}

impl Table {
    /// A table with a first row of names; none where that is empty.
    pub fn new<T: Into<String>>(heads: impl IntoIterator<Item = T>) -> Self {
        let mut table = Table::default();
        table.row(heads);
        table.rows.retain(|row| !row.is_empty());
        table
    }

    /// These columns end at the right, as numbers do.
    #[must_use]
    pub fn right(mut self, columns: impl IntoIterator<Item = usize>) -> Self {
        self.right.extend(columns);
        self
    }

    /// Every row starts with this many spaces.
    #[must_use]
    pub fn indented(self, indent: usize) -> Self {
        Table { indent, ..self }
    }

    /// No cell is wider than this: what is longer is cut.
    #[must_use]
    pub fn at_most(self, widest: usize) -> Self {
        Table { widest: Some(widest), ..self }
    }

    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cut = |cell: T| match self.widest {
            Some(widest) => fit(&cell.into(), widest, "…"),
            None => cell.into(),
        };
        self.rows.push(cells.into_iter().map(cut).collect());
    }
}

impl std::fmt::Display for Table {
    /// One line a row, each with its line end.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|i| self.rows.iter().filter_map(|row| row.get(i)).map(|cell| width(cell)).max().unwrap_or(0))
            .collect();
        for row in &self.rows {
            let mut line = " ".repeat(self.indent);
            for (i, (cell, wide)) in row.iter().zip(&widths).enumerate() {
                let gap = " ".repeat(wide - width(cell));
                let (before, after) =
                    if self.right.contains(&i) { (gap, String::new()) } else { (String::new(), gap) };
                let space = if i == 0 { "" } else { "  " };
                line.push_str(&format!("{space}{before}{cell}{after}"));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells_on_screen() {
        let mut table = Table::new(["name", "n", "note"]).right([1]).at_most(8);
        table.row(["漢字", "7", "a note that is long"]);
        table.row(["a"]);
        table.row(["b", "1234", ""]);
        assert_eq!(table.to_string(), "name     n  note\n漢字     7  a note …\na\nb     1234\n");
        assert_eq!(Table::new([""; 0]).indented(2).to_string(), "");
    }
}
