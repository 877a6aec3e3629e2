//! What is said follows from the objects alone, whatever the way to them.

use proptest::prelude::*;

use super::*;

/// What an index says of some objects that touch everything in it.
fn opinions(index: &Index) -> Vec<Said> {
    let names = (0..6).map(|n| format!("e{n}"));
    let egresses =
        names.flat_map(|name| (0..8).map(move |n| at(&format!("10.0.0.{n}"), pooled(&name, "p0"))));
    let mut said: Vec<_> = egresses
        .map(|egress| super::said(&index.review_egress(&egress, None)))
        .collect();
    for name in ["p0", "p1"] {
        let old = pool(name, &["10.0.0.0/28"]);
        let new = pool(name, &["10.0.0.4-10.0.0.6"]);
        said.push(super::said(&index.review_pool(&new, Some(&old))));
    }
    said
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let egress = |n: u8, pool: u8, last: u8, app: u8, deleting: bool| EgressDraft {
        created: i64::from(n),
        applied_to: Some(selecting(&app.to_string())),
        deleting,
        held: last
            .is_multiple_of(3)
            .then(|| ip(&format!("10.0.0.{}", last + 1))),
        pool: (pool < 2).then(|| format!("p{pool}").into()),
        ..fixed(&format!("e{n}"), &format!("10.0.0.{last}"))
    };
    prop_oneof![
        4 => (0..6_u8, 0..3_u8, 0..8_u8, 0..3_u8, any::<bool>())
            .prop_map(move |(n, pool, last, app, deleting)| egress(n, pool, last, app, deleting).into()),
        2 => (0..6_u8).prop_map(|n| Fact::EgressGone(format!("e{n}").into())),
        2 => (0..2_u8, 0..4_u8).prop_map(|(n, first)| {
            pool(&format!("p{n}"), &[&format!("10.0.0.{first}-10.0.0.9")]).into()
        }),
        1 => (0..2_u8).prop_map(|n| Fact::PoolGone(format!("p{n}").into())),
    ]
}

proptest! {
    #[test]
    fn the_way_to_a_state_leaves_no_trace(facts in prop::collection::vec(any_fact(), 0..40)) {
        let mut egresses = BTreeMap::new();
        let mut pools = BTreeMap::new();
        for fact in &facts {
            match fact {
                Fact::Egress(egress) => { egresses.insert(egress.name.clone(), fact.clone()); }
                Fact::EgressGone(name) => { egresses.remove(name); }
                Fact::Pool(pool) => { pools.insert(pool.spec.name.clone(), fact.clone()); }
                Fact::PoolGone(name) => { pools.remove(name); }
                _ => {}
            }
        }
        let straight = index(egresses.into_values().chain(pools.into_values()));
        prop_assert_eq!(opinions(&index(facts)), opinions(&straight));
    }
}
