//! The allocator against a model that goes through every address one by one.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::net::{from_number, unusable};

/// What a pool does, in the plainest way: a list of what it hands out, in order, and what of it is taken.
struct Model {
    spec: PoolSpec,
    handed_out: Vec<IpAddr>,
    taken: BTreeSet<IpAddr>,
}

fn addresses(range: IpRange) -> Vec<IpAddr> {
    let address = |number| from_number(range.family(), number).unwrap();
    range.numbers().map(address).collect()
}

fn offered(range: Range) -> Vec<IpAddr> {
    let mut all = addresses(range.bounds());
    if matches!(range, Range::Cidr(_)) && all.len() > 2 {
        all.remove(0);
        if all[0].is_ipv4() {
            all.pop();
        }
    }
    all
}

fn is_excluded(spec: &PoolSpec, ip: IpAddr) -> bool {
    spec.exclude.iter().any(|range| range.contains(ip))
}

fn is_gateway(spec: &PoolSpec, ip: IpAddr) -> bool {
    spec.subnet.is_some_and(|subnet| subnet.gateway == ip)
}

impl Model {
    fn new(spec: &PoolSpec) -> Self {
        let mut handed_out = Vec::new();
        for ip in spec.ranges.iter().copied().flat_map(offered) {
            let is_withheld =
                unusable(ip).is_some() || is_excluded(spec, ip) || is_gateway(spec, ip);
            if !is_withheld && !handed_out.contains(&ip) {
                handed_out.push(ip);
            }
        }
        Self {
            spec: spec.clone(),
            handed_out,
            taken: BTreeSet::new(),
        }
    }

    fn free(&self) -> Vec<IpAddr> {
        let is_free = |ip: &IpAddr| !self.taken.contains(ip);
        self.handed_out.iter().copied().filter(is_free).collect()
    }

    fn refusal(&self, ip: IpAddr) -> Option<&'static str> {
        if self.handed_out.contains(&ip) {
            return self.taken.contains(&ip).then_some("taken");
        }
        let is_inside = |range: &Range| range.bounds().contains(ip);
        Some(match &self.spec {
            spec if !spec.ranges.iter().any(is_inside) => "outside",
            _ if unusable(ip).is_some() => "unusable",
            spec if is_gateway(spec, ip) => "gateway",
            spec if is_excluded(spec, ip) => "excluded",
            _ => "reserved",
        })
    }

    fn usage(&self) -> Usage {
        Usage {
            total: self.handed_out.len().try_into().unwrap(),
            used: self.taken.len().try_into().unwrap(),
        }
    }
}

fn kind(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Outside { .. } => "outside",
        Refusal::Reserved { .. } => "reserved",
        Refusal::Unusable { .. } => "unusable",
        Refusal::Gateway { .. } => "gateway",
        Refusal::Excluded { .. } => "excluded",
        Refusal::OfOther { .. } => "of other",
        Refusal::Taken { .. } => "taken",
    }
}

#[derive(Debug, Clone, Copy)]
enum Call {
    Allocate,
    Claim(IpAddr),
    Release(IpAddr),
}

/// Makes the same call on both and compares the answers.
fn call(pool: &mut Pool, model: &mut Model, call: Call) -> Result<(), TestCaseError> {
    match call {
        Call::Allocate => {
            let expected = model.free().first().copied();
            prop_assert_eq!(allocate(pool), expected);
            model.taken.extend(expected);
        }
        Call::Claim(ip) => {
            let refused = pool.claim(ip).err();
            prop_assert_eq!(refused.as_ref().map(kind), model.refusal(ip));
            if refused.is_none() {
                model.taken.insert(ip);
            }
        }
        Call::Release(ip) => {
            pool.release(ip);
            model.taken.remove(&ip);
        }
    }
    Ok(())
}

/// A place in both families' address spaces: few addresses, so that things meet. At the ends, where overflow would be, most
/// of them cannot be used.
#[derive(Debug, Clone, Copy)]
enum End {
    Low,
    Middle,
    High,
}

impl End {
    fn address(self, family: Family, distance: u8) -> IpAddr {
        let (distance, bits) = (u128::from(distance), u32::from(family.bits()));
        let number = match self {
            Self::Low => distance,
            Self::Middle => {
                (if family == Family::V4 {
                    10 << 24
                } else {
                    0xfd00 << 112
                }) + distance
            }
            Self::High => (u128::MAX >> (128 - bits)) - distance,
        };
        from_number(family, number).unwrap()
    }
}

fn any_end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Low), Just(End::Middle), Just(End::High)]
}

fn any_family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

fn any_address(end: End) -> impl Strategy<Value = IpAddr> {
    (any_family(), 0..64_u8).prop_map(move |(family, distance)| end.address(family, distance))
}

fn any_range(end: End) -> impl Strategy<Value = Range> {
    let network = (any_address(end), 0..=6_u8).prop_map(|(ip, host_bits)| {
        let prefix = Family::of(ip).bits() - host_bits;
        Range::Cidr(Cidr::new(ip, prefix).unwrap())
    });
    let span = (any_family(), 0..64_u8, 0..64_u8).prop_map(move |(family, a, b)| {
        let (a, b) = (end.address(family, a), end.address(family, b));
        Range::Span(IpRange::new(a.min(b), a.max(b)).unwrap())
    });
    prop_oneof![network, span]
}

fn any_spec(end: End) -> impl Strategy<Value = PoolSpec> {
    let gateway = proptest::option::of(any_address(end));
    (
        vec(any_range(end), 0..5),
        vec(any_range(end), 0..3),
        gateway,
    )
        .prop_map(|(ranges, exclude, gateway)| PoolSpec {
            ranges,
            exclude: exclude.into_iter().map(Range::bounds).collect(),
            subnet: gateway.map(|gateway| Subnet {
                gateway,
                prefix: 24,
                vlan: None,
            }),
            ..spec(&[])
        })
}

fn any_call(end: End) -> impl Strategy<Value = Call> {
    prop_oneof![
        Just(Call::Allocate),
        any_address(end).prop_map(Call::Claim),
        any_address(end).prop_map(Call::Release),
    ]
}

fn any_trial() -> impl Strategy<Value = (PoolSpec, Vec<Call>)> {
    any_end().prop_flat_map(|end| (any_spec(end), vec(any_call(end), 0..100)))
}

fn any_claims() -> impl Strategy<Value = (PoolSpec, Vec<IpAddr>)> {
    any_end().prop_flat_map(|end| (any_spec(end), vec(any_address(end), 0..60)))
}

fn two_specs() -> impl Strategy<Value = (PoolSpec, PoolSpec)> {
    any_end().prop_flat_map(|end| (any_spec(end), any_spec(end)))
}

fn bounds(spec: &PoolSpec) -> BTreeSet<IpAddr> {
    let bounds = spec.ranges.iter().map(|range| range.bounds());
    bounds.flat_map(addresses).collect()
}

fn free(pool: &Pool) -> Vec<IpAddr> {
    let free = pool.free_ranges(usize::MAX);
    free.into_iter().flat_map(addresses).collect()
}

proptest! {
    #[test]
    fn every_call_answers_as_the_model_does((spec, calls) in any_trial()) {
        let (mut pool, mut model) = (Pool::new(&spec), Model::new(&spec));
        for next in calls {
            call(&mut pool, &mut model, next)?;
            prop_assert_eq!(pool.usage(), model.usage());
            prop_assert_eq!(next_free(&pool), model.free().first().copied());
        }
        prop_assert_eq!(free(&pool), model.free());
    }

    #[test]
    fn every_address_is_told_to_be_what_the_model_says((spec, claims) in any_claims()) {
        let (mut pool, mut model) = (Pool::new(&spec), Model::new(&spec));
        for &ip in claims.iter().step_by(2) {
            call(&mut pool, &mut model, Call::Claim(ip))?;
        }
        for ip in claims {
            prop_assert_eq!(pool.refusal(ip).as_ref().map(kind), model.refusal(ip));
            prop_assert_eq!(pool.is_taken(ip), model.taken.contains(&ip));
        }
    }

    #[test]
    fn no_address_is_handed_out_twice_whoever_asks_in_whatever_order((spec, claims) in any_claims()) {
        let mut pool = Pool::new(&spec);
        let mut owned = BTreeSet::new();
        for ip in claims {
            let given = if pool.claim(ip).is_ok() { Some(ip) } else { allocate(&mut pool) };
            prop_assert!(given.is_none_or(|ip| owned.insert(ip)));
        }
        while let Some(ip) = allocate(&mut pool) {
            prop_assert!(owned.insert(ip));
        }
        let all: BTreeSet<_> = Model::new(&spec).handed_out.into_iter().collect();
        prop_assert_eq!(owned, all);
    }

    #[test]
    fn adoption_in_any_order_gives_the_same_pool(
        (spec, claims, shuffled) in any_claims().prop_flat_map(|(spec, claims)| {
            (Just(spec), Just(claims.clone()), Just(claims).prop_shuffle())
        }),
    ) {
        let adopt = |claims: Vec<IpAddr>| {
            let mut pool = Pool::new(&spec);
            for ip in claims {
                let _ = pool.claim(ip);
            }
            (pool.usage(), free(&pool))
        };
        prop_assert_eq!(adopt(claims), adopt(shuffled));
    }

    #[test]
    fn pools_overlap_in_the_addresses_that_lie_in_both((one, other) in two_specs()) {
        let shared: BTreeSet<_> = bounds(&one).intersection(&bounds(&other)).copied().collect();
        let told: Vec<_> = overlaps(&one, &other).into_iter().flat_map(addresses).collect();
        prop_assert_eq!(told, shared.into_iter().collect::<Vec<_>>());
    }
}
