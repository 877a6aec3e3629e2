//! Tables in Markdown.
//!
//! Owns their alignment, so that they can be read as text too, and the spelling of quantities. Never knows what they tell.

use std::fmt;
use std::time::Duration;

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

/// A count with its thousands set apart.
pub fn thousands(count: usize) -> String {
    match count {
        few @ ..1000 => few.to_string(),
        many => format!("{},{:03}", thousands(many / 1000), many % 1000),
    }
}

/// A time below a second.
pub fn time(time: Duration) -> String {
    match time.as_micros() {
        micros @ ..1000 => format!("{micros} µs"),
        _ => format!("{:.2} ms", time.as_secs_f64() * 1e3),
    }
}

/// An amount of memory.
pub fn mib(kib: u64) -> String {
    let tenths = kib * 10 / 1024;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
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
    fn thousands_are_set_apart() {
        let counts = [0, 999, 1000, 10_020, 1_000_000].map(thousands);
        assert_eq!(counts, ["0", "999", "1,000", "10,020", "1,000,000"]);
    }

    #[test]
    fn a_table_without_rows_has_its_head() {
        assert_eq!(Table::new(["n"]).to_string(), "| n   |\n|-----|\n");
    }
}
