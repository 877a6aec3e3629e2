//! Kubernetes quantities such as `1.5Gi`, `500M`, `250m` and `12e6`, read exactly.
//!
//! Owns the grammar of `k8s.io/apimachinery/pkg/api/resource.Quantity` and its rounding. Never uses floating point.

use thiserror::Error;

/// Why a text is not a quantity that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadQuantity {
    /// It does not follow the grammar.
    #[error(
        "is not a quantity: write a number with or without a suffix, such as 8k, 1.5M, 512Ki or 12e6"
    )]
    Malformed,
    /// It is below zero.
    #[error("is negative: write a positive number such as 500M")]
    Negative,
}

/// What a suffix multiplies by: `1024^kibi * 10^tens`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    kibi: u32,
    tens: i32,
}

/// A decimal fraction of any length.
struct Decimal {
    /// Digits from the most significant on, each 0 to 9.
    digits: Vec<u8>,
    /// How many of them are before the point; may lie outside the digits on either side.
    point: i64,
}

/// The quantity in whole units: rounded up, and at most `u64::MAX`.
pub fn parse(text: &str) -> Result<u64, BadQuantity> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let mut decimal = decimal(number).ok_or(BadQuantity::Malformed)?;
    let scale = scale(suffix).ok_or(BadQuantity::Malformed)?;
    if text.starts_with('-') {
        return Err(BadQuantity::Negative);
    }
    for _ in 0..scale.kibi {
        decimal.multiply(1024);
    }
    decimal.point += i64::from(scale.tens);
    Ok(decimal.round_up())
}

/// The number as Kubernetes itself would write it in decimal: with the largest suffix that leaves a whole number.
pub(crate) fn decimal_text(number: u64) -> String {
    let suffixes = ["", "k", "M", "G", "T", "P", "E"];
    let mut number = number;
    for suffix in suffixes {
        if number == 0 || !number.is_multiple_of(1_000) || suffix == "E" {
            return format!("{number}{suffix}");
        }
        number /= 1_000;
    }
    number.to_string()
}

fn decimal(number: &str) -> Option<Decimal> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || fraction.contains('.') {
        return None;
    }
    let digits = whole
        .bytes()
        .chain(fraction.bytes())
        .map(|byte| byte - b'0')
        .collect();
    Some(Decimal {
        digits,
        point: i64::try_from(whole.len()).ok()?,
    })
}

fn scale(suffix: &str) -> Option<Scale> {
    let tens = |tens| Some(Scale { kibi: 0, tens });
    let kibi = |kibi| Some(Scale { kibi, tens: 0 });
    match suffix {
        "n" => tens(-9),
        "u" => tens(-6),
        "m" => tens(-3),
        "" => tens(0),
        "k" => tens(3),
        "M" => tens(6),
        "G" => tens(9),
        "T" => tens(12),
        "P" => tens(15),
        "E" => tens(18),
        "Ki" => kibi(1),
        "Mi" => kibi(2),
        "Gi" => kibi(3),
        "Ti" => kibi(4),
        "Pi" => kibi(5),
        "Ei" => kibi(6),
        exponent => tens(exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    }
}

impl Decimal {
    fn multiply(&mut self, factor: u32) {
        let mut carry = 0;
        for digit in self.digits.iter_mut().rev() {
            let product = u32::from(*digit) * factor + carry;
            *digit = last_digit(product);
            carry = product / 10;
        }
        while carry > 0 {
            self.digits.insert(0, last_digit(carry));
            self.point += 1;
            carry /= 10;
        }
    }

    fn round_up(&self) -> u64 {
        let Some(first) = self.digits.iter().position(|digit| *digit != 0) else {
            return 0;
        };
        let whole = self
            .point
            .saturating_sub(i64::try_from(first).unwrap_or(i64::MAX));
        // u64::MAX has 20 digits.
        if whole > 20 {
            return u64::MAX;
        }
        let whole = usize::try_from(whole).unwrap_or(0);
        let digits = || self.digits.iter().skip(first).copied();
        let rest_is_zero = digits().skip(whole).all(|digit| digit == 0);
        digits()
            .chain(std::iter::repeat(0))
            .take(whole)
            .try_fold(0_u64, |value, digit| {
                value.checked_mul(10)?.checked_add(digit.into())
            })
            .map_or(u64::MAX, |value| {
                value.saturating_add(u64::from(!rest_is_zero))
            })
    }
}

fn last_digit(number: u32) -> u8 {
    // A remainder of ten always fits.
    u8::try_from(number % 10).unwrap_or_default()
}

#[cfg(test)]
mod tests;
