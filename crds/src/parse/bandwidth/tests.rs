//! Rates and bursts.

use super::*;

fn parse(rate: &str, burst: Option<&str>) -> Result<(u64, u64), Vec<String>> {
    let given = Bandwidth {
        rate: rate.to_owned(),
        burst: burst.map(str::to_owned),
    };
    bandwidth("b", &given)
        .map(|parsed| (parsed.rate_bits, parsed.burst_bits))
        .map_err(|problems| {
            problems
                .as_slice()
                .iter()
                .map(ToString::to_string)
                .collect()
        })
}

#[test]
fn rate_and_burst_are_read_in_bits() {
    assert_eq!(parse("500M", Some("64Mi")), Ok((500_000_000, 64 << 20)));
}

#[test]
fn the_default_burst_is_a_tenth_of_a_second() {
    assert_eq!(parse("1G", None), Ok((1_000_000_000, 100_000_000)));
    assert_eq!(parse("100G", None), Ok((100_000_000_000, 10_000_000_000)));
}

#[test]
fn the_default_burst_lets_a_whole_segment_pass() {
    assert_eq!(parse("8k", None), Ok((8_000, 524_288)));
    assert_eq!(parse("5242880", None), Ok((5_242_880, 524_288)));
    assert_eq!(parse("5242890", None), Ok((5_242_890, 524_289)));
}

#[test]
fn the_limits_themselves_are_legal() {
    assert_eq!(parse("8k", Some("1")), Ok((8_000, 1)));
    assert_eq!(
        parse("100G", Some("32G")),
        Ok((100_000_000_000, 32_000_000_000))
    );
}

#[test]
fn beyond_the_limits_the_legal_range_is_said() {
    for rate in ["7999", "0", "100000000001", "1E"] {
        assert_eq!(
            parse(rate, None),
            Err(vec![format!(
                "b.rate: {rate:?} is out of range: write a rate from 8k to 100G, in bits per second"
            )])
        );
    }
    for burst in ["0", "32000000001", "99E"] {
        assert_eq!(
            parse("1M", Some(burst)),
            Err(vec![format!(
                "b.burst: {burst:?} is out of range: write a burst from 1 to 32G, in bits"
            )])
        );
    }
}

#[test]
fn both_fields_are_told() {
    let problems = parse("fast", Some("-1M")).unwrap_err();
    assert!(
        problems[0].starts_with("b.rate: \"fast\" is not a quantity"),
        "{problems:?}"
    );
    assert!(
        problems[1].starts_with("b.burst: \"-1M\" is negative"),
        "{problems:?}"
    );
}
