//! The beginning of a text.
//!
//! Owns how texts of others are shortened before they are told or logged: whoever sends them chooses their length.
//! Never breaks a character.

const MARK: &str = "...";

/// The text, or if it has more than so many bytes, its beginning and a mark, together at most as many.
pub(crate) fn excerpt(text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let end = text.floor_char_boundary(most.saturating_sub(MARK.len()));
    format!("{}{MARK}", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_shown_by_its_beginning() {
        for (text, shown) in [
            ("", ""),
            ("12345678", "12345678"),
            ("123456789", "12345..."),
            ("1234\u{e9}6789", "1234..."),
        ] {
            assert_eq!(excerpt(text.to_owned(), 8), shown);
        }
    }
}
