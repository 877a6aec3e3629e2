//! The review of a pool.
//!
//! Owns what a pool must have to do with other pools, with nodes, and with the Egresses that use it. Never looks at a
//! field by itself: that is done when it comes here.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use super::review::Findings;
use super::{DefaultPool, Index, PoolDraft, Review};
use crate::control::Object;
use crate::listing::listed;
use crate::name::{EgressName, PoolName};
use crate::net::IpRange;
use crate::pool::{Pool as Allocator, PoolSpec, Range, Refusal, lost};
use crate::problem::Problem;

/// Of users, more than this many are only counted.
const USERS_SHOWN: usize = 5;
/// The mark of a default pool.
const DEFAULT: &str = "metadata.annotations[egret.dev/is-default-pool]";

/// Where the user has written what takes addresses away: field and value.
type Cause = (&'static str, String);

/// An address in use, and by whom.
struct Used<'a> {
    ip: IpAddr,
    by: &'a EgressName,
}

impl fmt::Display for Used<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (Egress {})", self.ip, self.by)
    }
}

impl Index {
    /// Everything that speaks against storing this pool, in place of `old` if there is one.
    pub fn review_pool(&self, new: &PoolDraft, old: Option<&PoolDraft>) -> Review {
        if new.spec.deleting {
            return Review::default();
        }
        let mut found = self.look_at_pool(new);
        if let Some(old) = old {
            self.look_for_the_stranded(new, old, &mut found);
        }
        found.since(old.map(|old| self.look_at_pool(old)).as_ref())
    }

    /// What to tell somebody who deletes this pool; nothing refuses that.
    pub fn review_pool_deletion(&self, name: &PoolName) -> Vec<Problem> {
        let users: Vec<_> = self.users.of(name).collect();
        if users.is_empty() {
            return Vec::new();
        }
        let remark = format!(
            "is in use and stays until no Egress uses it: {}",
            listed(&users, USERS_SHOWN)
        );
        vec![Problem::of("metadata.name", name.as_str(), remark)]
    }

    fn look_at_pool(&self, pool: &PoolDraft) -> Findings {
        let mut found = Findings::of(&pool.problems, &pool.remarks);
        self.look_at_other_pools(pool, &mut found);
        self.look_at_nodes(pool, &mut found);
        self.look_at_room(pool, &mut found);
        self.look_at_other_defaults(pool, &mut found);
        found
    }

    /// Two pools never share an address: each would hand it out.
    fn look_at_other_pools(&self, pool: &PoolDraft, found: &mut Findings) {
        let bounds = pool.spec.bounds();
        for (other, legible) in self.pools.others(&pool.spec.name) {
            for shared in bounds.shared_with(&legible.bounds).ranges() {
                let reason = format!(
                    "overlaps ExternalIPPool {other}, which has {shared} too: take addresses that no other pool has"
                );
                let (path, value) = range_with(pool, shared);
                let problem = Problem::of(&path, &value, reason);
                found.wrong(problem, [Object::Pool(other.clone())]);
            }
        }
    }

    fn look_at_nodes(&self, pool: &PoolDraft, found: &mut Findings) {
        if pool.has_nodes && !self.nodes.any_matches(&pool.spec.nodes) {
            found.odd(Problem::at(
                "spec.nodeSelector",
                "selects no node of the cluster as it is: no address can be assigned until a node has these labels",
            ));
        }
        for (path, range) in ranges(pool) {
            let bounds = range.bounds();
            let problem = |remark| Problem::of(&path, &range.to_string(), remark);
            let is_elsewhere = |ip| self.nodes.are_all_elsewhere(ip);
            if self.nodes.lack(bounds.family()) {
                let remark = format!(
                    "has {} addresses, and no node has one: none can be assigned",
                    bounds.family()
                );
                found.odd(problem(remark));
            } else if pool.spec.subnet.is_none()
                && is_elsewhere(bounds.start())
                && is_elsewhere(bounds.end())
            {
                found.odd(problem(
                    "is in no node's subnet: see to it that its addresses are routed to the nodes that hold them"
                        .to_owned(),
                ));
            }
        }
    }

    fn look_at_room(&self, pool: &PoolDraft, found: &mut Findings) {
        let users = self.users.count(&pool.spec.name);
        let users = i64::try_from(users).unwrap_or(i64::MAX);
        let total = Allocator::new(&pool.spec).usage().total;
        if pool.has_all_addresses && users > total {
            let remark = format!("have {total} addresses for {users} Egresses: add a range");
            found.odd(Problem::at("spec.ipRanges", remark));
        }
    }

    fn look_at_other_defaults(&self, pool: &PoolDraft, found: &mut Findings) {
        let mut marked = match self.default_pool() {
            DefaultPool::None => Vec::new(),
            DefaultPool::One(name) => vec![name],
            DefaultPool::Several(names) => names,
        };
        marked.retain(|name| *name != pool.spec.name);
        if pool.is_default && !marked.is_empty() {
            let remark = format!(
                "marks a second default pool beside {}: with several there is none",
                listed(&marked, USERS_SHOWN)
            );
            found.odd(Problem::at(DEFAULT, remark));
        }
    }

    /// Looks for Egresses of the pool whose addresses the change takes away.
    fn look_for_the_stranded(&self, new: &PoolDraft, old: &PoolDraft, found: &mut Findings) {
        if !new.has_all_addresses {
            // What cannot be read takes nothing away: the operator stays with what it could read last.
            return;
        }
        for ((path, value), used) in self.taken_away(new, old) {
            let reason = format!(
                "{} in use: {}; keep them until these Egresses are deleted or have other addresses",
                if value.is_empty() {
                    "would lose addresses"
                } else {
                    "takes away addresses"
                },
                listed(&used, USERS_SHOWN)
            );
            let users = used.iter().take(USERS_SHOWN);
            let users = users.map(|used| Object::Egress(used.by.clone()));
            found.wrong(Problem::of(path, &value, reason), users);
        }
    }

    fn taken_away(&self, new: &PoolDraft, old: &PoolDraft) -> BTreeMap<Cause, Vec<Used<'_>>> {
        let after = Allocator::new(&new.spec);
        let used = match self.before(old) {
            Some(before) => self.used_in(&lost(before, &new.spec), &new.spec.name),
            None => self.used_beside(&after, &new.spec.name),
        };
        let mut taken: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for used in used {
            let cause = cause(after.refusal(used.ip).as_ref());
            taken.entry(cause).or_default().push(used);
        }
        taken
    }

    /// The spec that the pool's addresses are from: the stored one, or if there is something wrong with that, the one with
    /// which the operator stays. `None` if nobody can know.
    fn before<'a>(&'a self, old: &'a PoolDraft) -> Option<&'a PoolSpec> {
        let stored = || old.has_all_addresses.then_some(&old.spec);
        if old.problems.is_empty() {
            return stored();
        }
        let legible = self.pools.legible(&old.spec.name);
        legible.map(|legible| &legible.spec).or_else(stored)
    }

    /// What the pool's users have in these ranges.
    fn used_in(&self, ranges: &[IpRange], pool: &PoolName) -> Vec<Used<'_>> {
        let occupied = ranges
            .iter()
            .flat_map(|range| self.addresses.occupied_in(*range));
        occupied
            .flat_map(|(ip, occupants)| occupants.iter().map(move |by| Used { ip, by }))
            .filter(|used| self.users.has(pool, used.by))
            .collect()
    }

    /// What the pool's users have and the pool does not give.
    fn used_beside(&self, allocator: &Allocator, pool: &PoolName) -> Vec<Used<'_>> {
        let users = self.users.of(pool);
        users
            .filter_map(|by| self.egresses.get_key_value(by))
            .flat_map(|(by, egress)| {
                egress
                    .addresses()
                    .into_iter()
                    .map(move |ip| Used { ip, by })
            })
            .filter(|used| allocator.refusal(used.ip).is_some())
            .collect()
    }
}

/// The legible ranges with their paths.
fn ranges(pool: &PoolDraft) -> impl Iterator<Item = (String, Range)> {
    let places = pool.places.iter().zip(&pool.spec.ranges);
    places.map(|(place, range)| (format!("spec.ipRanges[{place}]"), *range))
}

/// The range of the pool in which these addresses begin, for a problem: path and value.
fn range_with(pool: &PoolDraft, shared: IpRange) -> (String, String) {
    ranges(pool)
        .find(|(_, range)| range.bounds().contains(shared.start()))
        .map_or_else(
            || ("spec.ipRanges".to_owned(), shared.to_string()),
            |(path, range)| (path, range.to_string()),
        )
}

fn cause(refusal: Option<&Refusal>) -> Cause {
    match refusal {
        Some(Refusal::Excluded { entry, .. }) => ("spec.exclude", entry.to_string()),
        Some(Refusal::Gateway { ip, .. }) => ("spec.subnetInfo.gateway", ip.to_string()),
        Some(
            Refusal::Outside { .. }
            | Refusal::Reserved { .. }
            | Refusal::Unusable { .. }
            | Refusal::OfOther { .. }
            | Refusal::Taken { .. },
        )
        | None => ("spec.ipRanges", String::new()),
    }
}
