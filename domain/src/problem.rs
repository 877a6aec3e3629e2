//! What is wrong with an object, as data: where, which value, and what would be right.
//!
//! Owns how problems are gathered and told. Never stops at the first one.

use std::fmt;

use thiserror::Error;

/// Of a value, more than this many characters help nobody.
const VALUE_SHOWN: usize = 100;
/// Of the problems of one object, more than this many are only counted when they are told in one text.
pub const PROBLEMS_SHOWN: usize = 10;

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field, such as `spec.ipRanges[1].cidr`.
    pub path: String,
    /// The value as the user wrote it (its beginning, if it is long); empty where the value is missing or a structure.
    pub value: String,
    /// What is wrong and what would be right, to be read after path and value.
    pub reason: String,
}

impl Problem {
    /// A problem with a value, of which only the beginning is kept if it is long.
    pub fn of(path: &str, value: &str, reason: impl fmt::Display) -> Self {
        Self {
            path: path.to_owned(),
            value: value.chars().take(VALUE_SHOWN).collect(),
            reason: reason.to_string(),
        }
    }

    /// A problem where there is no value to show.
    pub fn at(path: &str, reason: impl fmt::Display) -> Self {
        Self::of(path, "", reason)
    }

    /// Value and reason: what there is to say once the field is named.
    pub fn sentence(&self) -> String {
        if self.value.is_empty() {
            return self.reason.clone();
        }
        format!("{:?} {}", self.value, self.reason)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.sentence())
    }
}

/// All that is wrong with an object; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// One problem with a value.
    pub fn of(path: &str, value: &str, reason: impl fmt::Display) -> Self {
        Self(vec![Problem::of(path, value, reason)])
    }

    /// One problem where there is no value to show.
    pub fn at(path: &str, reason: impl fmt::Display) -> Self {
        Self::of(path, "", reason)
    }

    /// These problems, if there are any.
    pub fn new(problems: Vec<Problem>) -> Option<Self> {
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// The problems, in the order of the object's fields.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// The problems by themselves.
    pub fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().take(PROBLEMS_SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        match self.0.len().saturating_sub(PROBLEMS_SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// Both values, or the problems of both.
pub fn both<A, B>(
    first: Result<A, Problems>,
    second: Result<B, Problems>,
) -> Result<(A, B), Problems> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (Err(mut problems), Err(more)) => {
            problems.0.extend(more.0);
            Err(problems)
        }
        (Err(problems), Ok(_)) | (Ok(_), Err(problems)) => Err(problems),
    }
}

/// The value, or nothing and its problems noted.
pub fn note<T>(result: Result<T, Problems>, problems: &mut Vec<Problem>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(more) => {
            problems.extend(more.0);
            None
        }
    }
}

/// All values, or the problems of all.
pub fn all<T>(parsed: impl IntoIterator<Item = Result<T, Problems>>) -> Result<Vec<T>, Problems> {
    let (mut values, mut problems) = (Vec::new(), Vec::new());
    for one in parsed {
        match one {
            Ok(value) => values.push(value),
            Err(more) => problems.extend(more.0),
        }
    }
    if problems.is_empty() {
        Ok(values)
    } else {
        Err(Problems(problems))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_where_what_and_why() {
        let problems = Problems::of("spec.egressIP", "10.0.0.300", "is not an IP address");
        assert_eq!(
            problems.to_string(),
            "spec.egressIP: \"10.0.0.300\" is not an IP address"
        );
    }

    #[test]
    fn a_missing_value_is_not_shown_as_an_empty_one() {
        let problems = Problems::at("spec.ipRanges[0].end", "is missing");
        assert_eq!(problems.to_string(), "spec.ipRanges[0].end: is missing");
    }

    #[test]
    fn a_long_value_is_shown_by_its_beginning() {
        let problems = Problems::of("spec.egressIP", &"x".repeat(10_000), "is not an IP address");
        assert_eq!(problems.as_slice()[0].value, "x".repeat(VALUE_SHOWN));
    }

    #[test]
    fn a_hundred_problems_are_told_in_part_and_counted() {
        let many = (0..100).map(|i| Err::<(), _>(Problems::at(&format!("f[{i}]"), "is wrong")));
        let problems = all(many).unwrap_err();
        let text = problems.to_string();
        assert!(text.contains("f[9]: is wrong; and 90 more"), "{text}");
        assert_eq!(problems.as_slice().len(), 100);
    }
}
