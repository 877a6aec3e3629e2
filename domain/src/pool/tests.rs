//! Addresses of a pool, given, kept, refused and given back.

mod model;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An address, or two with a hyphen between them.
fn span(text: &str) -> IpRange {
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    IpRange::new(ip(start), ip(end)).unwrap()
}

/// A network, or what [`span`] reads.
fn range(text: &str) -> Range {
    text.parse()
        .map_or_else(|_| Range::Span(span(text)), Range::Cidr)
}

fn spec(ranges: &[&str]) -> PoolSpec {
    PoolSpec {
        name: "prod".into(),
        generation: 1,
        deleting: false,
        ranges: ranges.iter().copied().map(range).collect(),
        exclude: Vec::new(),
        subnet: None,
        nodes: Selector::default(),
    }
}

fn excluding(ranges: &[&str], exclude: &[&str]) -> PoolSpec {
    PoolSpec {
        exclude: exclude.iter().copied().map(span).collect(),
        ..spec(ranges)
    }
}

fn with_gateway(ranges: &[&str], gateway: &str) -> PoolSpec {
    let subnet = Subnet {
        gateway: ip(gateway),
        prefix: 24,
        vlan: None,
    };
    PoolSpec {
        subnet: Some(subnet),
        ..spec(ranges)
    }
}

fn pool(ranges: &[&str]) -> Pool {
    Pool::new(&spec(ranges))
}

fn next_free(pool: &Pool) -> Option<IpAddr> {
    Some(pool.free_ranges(1).first()?.start())
}

/// Takes the next free address; none when the pool is exhausted.
fn allocate(pool: &mut Pool) -> Option<IpAddr> {
    let ip = next_free(pool)?;
    pool.claim(ip).ok()?;
    Some(ip)
}

/// All that a small pool hands out, in its order; a pool that never ends fails its test instead of hanging.
fn drain(mut pool: Pool) -> Vec<String> {
    std::iter::from_fn(|| allocate(&mut pool))
        .take(100)
        .map(|ip| ip.to_string())
        .collect()
}

fn total(ranges: &[&str]) -> i64 {
    pool(ranges).usage().total
}

fn refused(pool: &Pool, address: &str) -> String {
    pool.refusal(ip(address)).unwrap().to_string()
}

#[test]
fn a_network_hands_out_neither_its_first_nor_for_ipv4_its_last_address() {
    assert_eq!(drain(pool(&["10.10.1.4/30"])), ["10.10.1.5", "10.10.1.6"]);
    assert_eq!(
        drain(pool(&["fd00::4/126"])),
        ["fd00::5", "fd00::6", "fd00::7"]
    );
}

#[test]
fn a_network_of_one_or_two_addresses_hands_out_all() {
    assert_eq!(drain(pool(&["10.10.1.4/32"])), ["10.10.1.4"]);
    assert_eq!(drain(pool(&["10.10.1.4/31"])), ["10.10.1.4", "10.10.1.5"]);
    assert_eq!(drain(pool(&["fd00::/128"])), ["fd00::"]);
    assert_eq!(drain(pool(&["fd00::/127"])), ["fd00::", "fd00::1"]);
}

#[test]
fn a_span_hands_out_both_of_its_ends() {
    assert_eq!(
        drain(pool(&["10.10.1.0-10.10.1.2"])),
        ["10.10.1.0", "10.10.1.1", "10.10.1.2"]
    );
    assert_eq!(drain(pool(&["10.10.1.255"])), ["10.10.1.255"]);
}

#[test]
fn networks_count_the_addresses_they_hand_out() {
    for (network, addresses) in [
        ("10.10.1.0/24", 254),
        ("10.10.1.0/28", 14),
        ("10.10.1.0/29", 6),
        ("10.10.1.0/30", 2),
        ("10.10.1.0/31", 2),
        ("10.10.1.0/32", 1),
        // Without 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/4 and the broadcast address.
        (
            "0.0.0.0/0",
            (1 << 32) - 2 * (1 << 24) - (1 << 16) - (1 << 28) - 1,
        ),
        ("fd00::/124", 15),
        ("fd00::/126", 3),
        ("fd00::/127", 2),
        ("fd00::/128", 1),
        ("fd00::/66", (1 << 62) - 1),
        ("fd00::/65", i64::MAX),
    ] {
        assert_eq!(total(&[network]), addresses, "{network}");
    }
}

#[test]
fn counts_saturate_and_never_overflow() {
    assert_eq!(total(&["fd00::/64"]), i64::MAX);
    assert_eq!(total(&["::/0"]), i64::MAX);
    let whole_family = "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    assert_eq!(total(&[whole_family]), i64::MAX);
    assert_eq!(total(&["fd00::/65", "fe00::/65", "0.0.0.0/0"]), i64::MAX);
}

#[test]
fn a_saturated_pool_still_counts_what_is_used() {
    let mut pool = pool(&["::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "0.0.0.0/0"]);
    pool.claim(ip("feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))
        .unwrap();
    pool.claim(ip("::2")).unwrap();
    pool.claim(ip("10.0.0.1")).unwrap();
    let expected = Usage {
        total: i64::MAX,
        used: 3,
    };
    assert_eq!(pool.usage(), expected);
    pool.release(ip("feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    assert_eq!(pool.usage().used, 2);
}

/// The work per call depends on the number of runs: here there are as few as there can be.
#[test]
fn a_whole_address_family_is_kept_as_a_few_runs() {
    let mut pool = pool(&["0.0.0.0/0", "::/0"]);
    let whole = [
        "1.0.0.0-126.255.255.255",
        "128.0.0.0-169.253.255.255",
        "169.255.0.0-223.255.255.255",
        "240.0.0.0-255.255.255.254",
        "::2-::fffe:ffff:ffff",
        "::1:0:0:0-fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "fec0::-feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ];
    assert_eq!(pool.free_ranges(usize::MAX), whole.map(span));
    for _ in 0..1_000 {
        allocate(&mut pool).unwrap();
    }
    assert_eq!(pool.free_ranges(usize::MAX).len(), 7);
    pool.claim(ip("10.0.0.1")).unwrap();
    pool.claim(ip("fd00::1")).unwrap();
    assert_eq!(pool.free_ranges(usize::MAX).len(), 9);
}

#[test]
fn a_pool_of_a_whole_family_hands_out_its_lowest_addresses_first() {
    assert_eq!(allocate(&mut pool(&["0.0.0.0/0"])), Some(ip("1.0.0.0")));
    assert_eq!(allocate(&mut pool(&["::/0"])), Some(ip("::2")));
}

#[test]
fn what_no_node_could_use_is_in_no_pool_however_wide() {
    let pool = pool(&["0.0.0.0/0", "::/0", "127.0.0.1", "::1"]);
    for (address, kind) in [
        ("0.0.0.1", "an address of 0.0.0.0/8"),
        ("127.0.0.1", "a loopback address"),
        ("169.254.0.1", "a link-local address"),
        ("224.0.0.1", "a multicast address"),
        ("::1", "a loopback address"),
        ("::ffff:10.0.0.1", "an IPv4 address written as IPv6"),
        ("fe80::1", "a link-local address"),
        ("ff02::1", "a multicast address"),
    ] {
        let expected = format!("{address} is {kind}, which is never handed out");
        assert_eq!(refused(&pool, address), expected);
    }
    assert_eq!(total(&["224.0.0.0/4", "ff00::/8"]), 0);
}

#[test]
fn ranges_are_used_in_the_order_of_the_spec() {
    assert_eq!(
        drain(pool(&["fd00::8/127", "10.10.2.0/31", "10.10.1.0/31"])),
        [
            "fd00::8",
            "fd00::9",
            "10.10.2.0",
            "10.10.2.1",
            "10.10.1.0",
            "10.10.1.1"
        ]
    );
}

#[test]
fn an_address_given_back_is_the_next_if_it_is_the_lowest() {
    let mut pool = pool(&["10.10.1.0/28"]);
    for _ in 0..5 {
        allocate(&mut pool).unwrap();
    }
    pool.release(ip("10.10.1.4"));
    pool.release(ip("10.10.1.2"));
    assert_eq!(allocate(&mut pool), Some(ip("10.10.1.2")));
    assert_eq!(allocate(&mut pool), Some(ip("10.10.1.4")));
    assert_eq!(allocate(&mut pool), Some(ip("10.10.1.6")));
}

#[test]
fn an_address_given_back_to_an_earlier_range_comes_before_later_ranges() {
    let mut pool = pool(&["10.10.2.0/31", "10.10.1.0/31"]);
    for _ in 0..3 {
        allocate(&mut pool).unwrap();
    }
    pool.release(ip("10.10.2.1"));
    assert_eq!(allocate(&mut pool), Some(ip("10.10.2.1")));
}

#[test]
fn the_next_free_address_is_shown_without_being_taken() {
    let mut pool = pool(&["10.10.1.0/28"]);
    assert_eq!(next_free(&pool), Some(ip("10.10.1.1")));
    assert_eq!(pool.usage().used, 0);
    assert_eq!(allocate(&mut pool), Some(ip("10.10.1.1")));
}

#[test]
fn a_pool_without_ranges_is_exhausted() {
    let mut pool = pool(&[]);
    assert_eq!(allocate(&mut pool), None);
    assert_eq!(pool.usage(), Usage::default());
    assert!(pool.free_ranges(3).is_empty());
}

#[test]
fn an_exhausted_pool_goes_on_when_an_address_comes_back() {
    let mut pool = pool(&["10.10.1.0/30"]);
    allocate(&mut pool).unwrap();
    allocate(&mut pool).unwrap();
    assert_eq!(allocate(&mut pool), None);
    pool.release(ip("10.10.1.2"));
    assert_eq!(allocate(&mut pool), Some(ip("10.10.1.2")));
}

#[test]
fn the_gateway_is_never_handed_out() {
    let mut pool = Pool::new(&with_gateway(&["10.10.1.0/29"], "10.10.1.1"));
    assert_eq!(pool.usage().total, 5);
    assert_eq!(allocate(&mut pool), Some(ip("10.10.1.2")));
    assert_eq!(
        refused(&pool, "10.10.1.1"),
        "10.10.1.1 is the gateway of pool prod, which is never handed out"
    );
}

#[test]
fn a_gateway_outside_every_range_changes_nothing() {
    let pool = Pool::new(&with_gateway(&["10.10.1.16/29"], "10.10.1.1"));
    assert_eq!(pool.usage().total, 6);
    assert!(matches!(
        pool.refusal(ip("10.10.1.1")),
        Some(Refusal::Outside { .. })
    ));
}

#[test]
fn excluded_addresses_are_never_handed_out() {
    let spec = excluding(&["10.10.1.0/28"], &["10.10.1.1", "10.10.1.3-10.10.1.12"]);
    assert_eq!(
        drain(Pool::new(&spec)),
        ["10.10.1.2", "10.10.1.13", "10.10.1.14"]
    );
    assert_eq!(
        refused(&Pool::new(&spec), "10.10.1.4"),
        "10.10.1.4 is excluded from pool prod by 10.10.1.3-10.10.1.12 in spec.exclude"
    );
}

#[test]
fn exclusions_that_overlap_or_reach_beyond_the_pool_are_counted_once() {
    let exclude = [
        "10.10.0.0-10.10.1.7",
        "10.10.1.4-10.10.1.9",
        "10.10.1.15-10.10.9.9",
    ];
    let pool = Pool::new(&excluding(&["10.10.1.0/28", "fd00::/124"], &exclude));
    assert_eq!(pool.usage().total, 5 + 15);
}

#[test]
fn ranges_that_overlap_are_counted_once() {
    assert_eq!(total(&["10.10.1.0/28", "10.10.1.0/28"]), 14);
    assert_eq!(
        total(&["10.10.1.0/24", "10.10.1.16/28", "10.10.1.250-10.10.2.0"]),
        254 + 2
    );
    assert_eq!(
        drain(pool(&["10.10.1.2-10.10.1.3", "10.10.1.1-10.10.1.4"])),
        ["10.10.1.2", "10.10.1.3", "10.10.1.1", "10.10.1.4"]
    );
}

#[test]
fn an_address_that_one_range_keeps_back_is_handed_out_if_another_offers_it() {
    for ranges in [
        ["10.10.1.0/30", "10.10.1.3-10.10.1.4"],
        ["10.10.1.3-10.10.1.4", "10.10.1.0/30"],
        ["10.10.1.0/30", "10.10.1.0/29"],
        ["10.10.1.0/30", "10.10.1.3/32"],
    ] {
        assert_eq!(pool(&ranges).claim(ip("10.10.1.3")), Ok(()), "{ranges:?}");
    }
}

#[test]
fn an_address_that_every_range_keeps_back_is_reserved() {
    let pool = pool(&["10.10.1.0/30", "10.10.1.0/29"]);
    assert_eq!(
        refused(&pool, "10.10.1.0"),
        "10.10.1.0 is the first address of 10.10.1.0/30, which is never handed out"
    );
}

#[test]
fn reserved_addresses_are_refused_with_the_reason() {
    let pool = pool(&["10.10.1.0/28", "fd00::/124"]);
    assert_eq!(
        refused(&pool, "10.10.1.0"),
        "10.10.1.0 is the first address of 10.10.1.0/28, which is never handed out"
    );
    assert_eq!(
        refused(&pool, "10.10.1.15"),
        "10.10.1.15 is the broadcast address of 10.10.1.0/28, which is never handed out"
    );
    assert_eq!(
        refused(&pool, "fd00::"),
        "fd00:: is the first address of fd00::/124, which is never handed out"
    );
}

#[test]
fn the_last_address_of_an_ipv6_network_is_handed_out() {
    assert_eq!(pool(&["fd00::/124"]).claim(ip("fd00::f")), Ok(()));
}

#[test]
fn an_address_outside_every_range_is_refused() {
    let pool = pool(&["10.10.1.0/28", "10.10.2.4-10.10.2.9"]);
    assert_eq!(
        refused(&pool, "10.10.1.16"),
        "10.10.1.16 is in no range of pool prod"
    );
    for outside in [
        "10.10.0.255",
        "10.10.2.3",
        "10.10.2.10",
        "::a0a:101",
        "::ffff:10.10.1.1",
    ] {
        assert!(
            matches!(pool.refusal(ip(outside)), Some(Refusal::Outside { .. })),
            "{outside}"
        );
    }
}

/// Both are the same number in their family.
#[test]
fn addresses_of_the_two_families_are_never_confused() {
    let mut pool = pool(&["10.10.1.1", "::a0a:101"]);
    pool.claim(ip("::a0a:101")).unwrap();
    assert!(pool.is_taken(ip("::a0a:101")) && !pool.is_taken(ip("10.10.1.1")));
    assert_eq!(allocate(&mut pool), Some(ip("10.10.1.1")));
    pool.release(ip("::a0a:101"));
    assert!(pool.is_taken(ip("10.10.1.1")) && !pool.is_taken(ip("::a0a:101")));
}

#[test]
fn a_taken_address_is_refused_until_it_is_given_back() {
    let mut pool = pool(&["10.10.1.0/28"]);
    pool.claim(ip("10.10.1.5")).unwrap();
    let refusal = pool.claim(ip("10.10.1.5")).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "10.10.1.5 of pool prod is already taken"
    );
    pool.release(ip("10.10.1.5"));
    assert_eq!(pool.claim(ip("10.10.1.5")), Ok(()));
}

#[test]
fn a_claimed_address_is_not_allocated() {
    let mut pool = pool(&["10.10.1.0/29"]);
    pool.claim(ip("10.10.1.1")).unwrap();
    pool.claim(ip("10.10.1.3")).unwrap();
    assert_eq!(
        drain(pool),
        ["10.10.1.2", "10.10.1.4", "10.10.1.5", "10.10.1.6"]
    );
}

#[test]
fn giving_back_what_is_not_taken_changes_nothing() {
    let mut pool = Pool::new(&PoolSpec {
        exclude: vec![span("10.10.1.2")],
        ..with_gateway(&["10.10.1.0/29"], "10.10.1.1")
    });
    pool.claim(ip("10.10.1.4")).unwrap();
    let (usage, free) = (pool.usage(), pool.free_ranges(usize::MAX));
    for address in [
        "10.10.1.0",
        "10.10.1.1",
        "10.10.1.2",
        "10.10.1.3",
        "10.10.1.7",
        "10.10.1.8",
        "fd00::1",
    ] {
        pool.release(ip(address));
        pool.release(ip(address));
        assert_eq!(pool.usage(), usage, "{address}");
        assert_eq!(pool.free_ranges(usize::MAX), free, "{address}");
    }
}

#[test]
fn free_ranges_come_in_the_order_of_allocation_and_are_limited() {
    let mut pool = pool(&["10.10.2.0/30", "10.10.1.0/29"]);
    pool.claim(ip("10.10.1.3")).unwrap();
    let free = [
        "10.10.2.1-10.10.2.2",
        "10.10.1.1-10.10.1.2",
        "10.10.1.4-10.10.1.6",
    ]
    .map(span);
    assert_eq!(pool.free_ranges(9), free);
    assert_eq!(pool.free_ranges(2), free[..2]);
    assert_eq!(pool.free_ranges(0), []);
}

#[test]
fn pools_overlap_where_their_ranges_meet_with_reserved_addresses_too() {
    let one = spec(&["10.10.1.0/28", "fd00::/124"]);
    let other = excluding(
        &["fd00::f-fd00::20", "10.10.1.15-10.10.1.20"],
        &["10.10.1.15"],
    );
    let shared = ["10.10.1.15", "fd00::f"].map(span);
    assert_eq!(overlaps(&one, &other), shared);
    assert_eq!(overlaps(&other, &one), shared);
}

#[test]
fn what_several_ranges_share_is_told_once() {
    let one = spec(&["10.10.1.0/24", "10.10.1.0/28"]);
    let other = spec(&["10.10.1.8-10.10.1.11", "10.10.1.12-10.10.1.20"]);
    assert_eq!(overlaps(&one, &other), [span("10.10.1.8-10.10.1.20")]);
}

#[test]
fn pools_that_only_touch_do_not_overlap() {
    assert_eq!(
        overlaps(&spec(&["10.10.1.0/28"]), &spec(&["10.10.1.16/28"])),
        []
    );
    assert_eq!(overlaps(&spec(&["0.0.0.0/0"]), &spec(&["::/0"])), []);
    assert_eq!(overlaps(&spec(&["0.0.0.0/0"]), &spec(&[])), []);
}

#[test]
fn whole_families_overlap_without_overflow() {
    let all = spec(&["::/0", "0.0.0.0/0"]);
    let shared = [
        "0.0.0.0-255.255.255.255",
        "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ];
    assert_eq!(overlaps(&all, &all), shared.map(span));
}
