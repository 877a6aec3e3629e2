//! Rust code as lines: where its tests begin, and where its functions are.
//!
//! Owns a reading of code that relies on rustfmt: an item ends at the first brace that stands as far to the right as
//! the item's first line. So it is only right for formatted code, which `hack/test` sees to. Never parses expressions.

/// A function with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function<'a> {
    /// Its name.
    pub name: &'a str,
    /// The line that it begins on, counted from 1.
    pub line: usize,
    /// Lines of its body that are neither blank nor comments.
    pub length: usize,
}

/// The lines before the module of unit tests at the end.
pub fn without_tests(text: &str) -> Vec<&str> {
    let lines: Vec<_> = text.lines().collect();
    let begins = |pair: &[&str]| matches!(pair, ["#[cfg(test)]", next] if next.starts_with("mod "));
    let end = lines.windows(2).position(begins).unwrap_or(lines.len());
    lines.into_iter().take(end).collect()
}

/// The functions in these lines, those inside other items too.
pub fn functions<'a>(lines: &[&'a str]) -> Vec<Function<'a>> {
    let headers = lines
        .iter()
        .enumerate()
        .filter_map(|(at, line)| Some((at, name(line)?)));
    headers
        .filter_map(|(at, name)| {
            let length = body(lines.get(at..)?)?;
            Some(Function {
                name,
                line: at + 1,
                length,
            })
        })
        .collect()
}

/// The name of the function that this line begins.
fn name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    while let Some(next) = without_qualifier(rest) {
        rest = next;
    }
    let rest = rest.strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

fn without_qualifier(line: &str) -> Option<&str> {
    let words = ["pub ", "const ", "async ", "unsafe ", "extern \"C\" "];
    let scoped = || {
        line.strip_prefix("pub(")?
            .split_once(") ")
            .map(|(_, rest)| rest)
    };
    words
        .iter()
        .find_map(|word| line.strip_prefix(word))
        .or_else(scoped)
}

/// The length of the body of the function on the first of these lines; `None` if it has no body.
fn body(lines: &[&str]) -> Option<usize> {
    let indent = indent(lines.first()?);
    let mut is_inside = false;
    let mut length = 0;
    for line in lines {
        let is_outer = !line.trim().is_empty() && self::indent(line) == indent;
        match is_inside {
            true if is_outer && line.trim_start().starts_with('}') => return Some(length),
            true => length += usize::from(is_code(line)),
            false if line.ends_with(';') && is_outer => return None,
            false if line.ends_with('}') => return Some(0),
            false => is_inside = is_outer && line.ends_with('{'),
        }
    }
    None
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn is_code(line: &str) -> bool {
    let line = line.trim_start();
    !line.is_empty() && !line.starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = r"
pub(crate) const fn one<T>(x: T) -> T {
    // Why.
    x

}

impl Trait for Type {
    async fn two(
        &self,
        many: BTreeMap<NodeName, IpAddr>,
    ) -> Result<(), Error>
    where
        Self: Sized,
    {
        let inner = |x| {
            x
        };
        inner(1)
    }

    fn three() {}
}

trait Trait {
    fn declared(&self) -> impl Future<Output = u8>;
    fn also_declared(
        &self,
    );
}
";

    fn found() -> Vec<(&'static str, usize)> {
        let lines: Vec<_> = CODE.lines().collect();
        functions(&lines)
            .into_iter()
            .map(|one| (one.name, one.length))
            .collect()
    }

    #[test]
    fn a_function_is_as_long_as_its_body_without_comments_and_blank_lines() {
        assert_eq!(found(), [("one", 1), ("two", 4), ("three", 0)]);
    }

    #[test]
    fn tests_at_the_end_do_not_count() {
        let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        assert_eq!(without_tests(text), ["fn a() {}", ""]);
    }

    #[test]
    fn a_single_item_for_tests_is_not_the_end() {
        let text = "#[cfg(test)]\nuse x;\nfn a() {}\n";
        assert_eq!(without_tests(text).len(), 3);
    }
}
