//! Quantities as Kubernetes reads them.

use proptest::prelude::*;

use super::*;

#[test]
fn every_suffix_multiplies_by_what_it_stands_for() {
    for (text, value) in [
        ("8000", 8_000),
        ("8k", 8_000),
        ("500M", 500_000_000),
        ("100G", 100_000_000_000),
        ("1T", 1_000_000_000_000),
        ("1P", 1_000_000_000_000_000),
        ("1E", 1_000_000_000_000_000_000),
        ("1Ki", 1 << 10),
        ("1Mi", 1 << 20),
        ("1Gi", 1 << 30),
        ("1Ti", 1 << 40),
        ("1Pi", 1 << 50),
        ("1Ei", 1 << 60),
        ("8000000m", 8_000),
        ("8000000000u", 8_000),
        ("8000000000000n", 8_000),
    ] {
        assert_eq!(parse(text), Ok(value), "{text}");
    }
}

#[test]
fn an_exponent_moves_the_point() {
    for (text, value) in [
        ("8e3", 8_000),
        ("8E3", 8_000),
        ("8e+3", 8_000),
        ("80000e-1", 8_000),
        ("0.008e6", 8_000),
        ("1E", 1_000_000_000_000_000_000),
    ] {
        assert_eq!(parse(text), Ok(value), "{text}");
    }
}

#[test]
fn fractions_are_exact() {
    for (text, value) in [
        ("1.5k", 1_500),
        (".5k", 500),
        ("2.k", 2_000),
        ("1.5Ki", 1_536),
        ("0.1Gi", 107_374_183),
        ("0.3M", 300_000),
        ("1.1E", 1_100_000_000_000_000_000),
        ("+2.5M", 2_500_000),
        ("000.0010k", 1),
    ] {
        assert_eq!(parse(text), Ok(value), "{text}");
    }
}

#[test]
fn what_is_left_of_a_unit_counts_as_a_whole_one() {
    for (text, value) in [
        ("1m", 1),
        ("1n", 1),
        ("1e-400", 1),
        ("8000.000000000000000000000001", 8_001),
        ("999m", 1),
        ("1001m", 2),
        ("0", 0),
        ("0.000", 0),
        ("0e999", 0),
    ] {
        assert_eq!(parse(text), Ok(value), "{text}");
    }
}

#[test]
fn a_value_too_large_to_hold_becomes_the_largest() {
    for text in [
        "16Ei",
        "18.5E",
        "1e20",
        "1e2147483647",
        "99999999999999999999",
        "9e19",
    ] {
        assert_eq!(parse(text), Ok(u64::MAX), "{text}");
    }
    assert_eq!(parse("18446744073709551615"), Ok(u64::MAX));
    assert_eq!(parse("18446744073709551614"), Ok(u64::MAX - 1));
}

#[test]
fn what_the_grammar_does_not_know_is_refused() {
    for text in [
        "",
        " ",
        ".",
        "k",
        "+",
        "+-1",
        "1 M",
        " 1M",
        "1K",
        "1mi",
        "1kk",
        "1MB",
        "1e",
        "1e+",
        "1e1.5",
        "1.2.3",
        "0x10",
        "1,5M",
        "1e99999999999",
        "١",
        "1Kiк",
        "--1",
    ] {
        assert_eq!(parse(text), Err(BadQuantity::Malformed), "{text:?}");
    }
}

#[test]
fn a_negative_quantity_is_told_from_a_malformed_one() {
    assert_eq!(parse("-1M"), Err(BadQuantity::Negative));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn nothing_that_looks_like_a_quantity_makes_it_panic(text in "[+-]?[0-9.]{0,40}(([KMGTPE]i)|[numkMGTPEeE][-+0-9]{0,12})?") {
        let _ = parse(&text);
    }

    #[test]
    fn a_whole_number_is_itself(number in any::<u64>()) {
        prop_assert_eq!(parse(&number.to_string()), Ok(number));
    }

    #[test]
    fn thousandths_are_rounded_up(number in any::<u64>()) {
        prop_assert_eq!(parse(&format!("{number}m")), Ok(number.div_ceil(1000)));
    }

    #[test]
    fn kibi_units_are_multiplied_exactly(number in 0..u64::MAX >> 10) {
        prop_assert_eq!(parse(&format!("{number}Ki")), Ok(number << 10));
    }

    #[test]
    fn gibi_fractions_are_multiplied_exactly(millionths in 0..1_000_000_u64) {
        let text = format!("0.{millionths:06}Gi");
        prop_assert_eq!(parse(&text), Ok((millionths << 30).div_ceil(1_000_000)));
    }
}

#[test]
fn a_number_is_written_with_the_largest_suffix_that_fits() {
    for (number, text) in [
        (0, "0"),
        (1, "1"),
        (999, "999"),
        (1_000, "1k"),
        (1_500, "1500"),
        (524_288, "524288"),
        (50_000_000, "50M"),
        (10_000_000_000, "10G"),
        (7_000_000_000_000_000_000, "7E"),
    ] {
        assert_eq!(decimal_text(number), text);
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(number: u64) {
        prop_assert_eq!(parse(&decimal_text(number)), Ok(number));
    }
}
