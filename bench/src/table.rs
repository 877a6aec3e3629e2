//! Tables in Markdown.
//!
//! Owns their alignment, so that they can be read as text too. Never knows what is in them.

use std::fmt;

/// A table. The first column is of names, the others are of numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table(Vec<Vec<String>>);

impl Table {
    /// A table without rows.
    pub fn new<const N: usize>(head: [&str; N]) -> Self {
        Self(vec![head.map(str::to_owned).to_vec()])
    }

    /// Adds a row.
    pub fn add<const N: usize>(&mut self, row: [String; N]) {
        self.0.push(Vec::from(row));
    }

    /// The widths of the columns.
    fn widths(&self) -> Vec<usize> {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self
                .0
                .iter()
                .filter_map(move |row: &Vec<String>| row.get(column));
            cells
                .map(|cell: &String| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        (0..columns).map(|column| width(column).max(3)).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for (number, row) in self.0.iter().enumerate() {
            let cells = row.iter().zip(&widths).enumerate();
            for (column, (cell, width)) in cells {
                match column {
                    0 => write!(f, "| {cell:<width$} |")?,
                    _ => write!(f, " {cell:>width$} |")?,
                }
            }
            writeln!(f)?;
            if number == 0 {
                rule(&widths, f)?;
            }
        }
        Ok(())
    }
}

/// The line below the head.
fn rule(widths: &[usize], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("|")?;
    for (column, width) in widths.iter().enumerate() {
        let dashes = "-".repeat(*width + 1);
        match column {
            0 => write!(f, "{dashes}-|")?,
            _ => write!(f, "{dashes}:|")?,
        }
    }
    writeln!(f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_at_the_right() {
        let mut table = Table::new(["name", "p50"]);
        table.add(["a".to_owned(), "1.25 ms".to_owned()]);
        table.add(["longer".to_owned(), "90 µs".to_owned()]);
        let expected = "\
            | name   |     p50 |\n\
            |--------|--------:|\n\
            | a      | 1.25 ms |\n\
            | longer |   90 µs |\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn a_table_without_rows_has_its_head() {
        assert_eq!(Table::new(["n"]).to_string(), "| n   |\n|-----|\n");
    }
}
