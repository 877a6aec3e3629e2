//! How others do it: an iptables rule with an ipset for each policy, on the Pod's node and on the gateway.
//!
//! Owns the rules, which are a model and not a product's own: each policy costs every packet a look into its set, for the
//! mark is set where conntrack spares nothing. Loaded in one go by iptables-legacy, which is the quicker of the two per packet,
//! and never changed.

use std::fmt::Write;

use super::netns::Netns;
use super::world::World;

const MARK: &str = "0x26000000";

/// Sets and rules for as many policies as the world has Egresses.
pub fn rules(source: &Netns, gateway: &Netns, world: World) -> anyhow::Result<()> {
    for node in [source, gateway] {
        node.feed(&["ipset", "restore"], &sets(world))?;
    }
    source.feed(&["iptables-legacy-restore"], &marks(world))?;
    // The outer packet has the mark too, and would be led here again.
    let pods = world.pod_cidr();
    source.run(&format!(
        "ip rule add pref 160 from {pods} fwmark {MARK} lookup 77"
    ))?;
    gateway.feed(&["iptables-legacy-restore"], &translations(world))?;
    let last = world.egress_ip(world.count.saturating_sub(1));
    gateway.run(&format!("ip addr add {last}/32 dev lo"))
}

fn sets(world: World) -> String {
    of_each(world, |text, policy| {
        let pod = world.pod(policy);
        writeln!(text, "create p{policy} hash:ip\nadd p{policy} {pod}")
    })
}

fn marks(world: World) -> String {
    let rules = of_each(world, |text, policy| {
        writeln!(
            text,
            "-A PREROUTING -m set --match-set p{policy} src -m conntrack --ctdir ORIGINAL \
             -j MARK --set-mark {MARK}"
        )
    });
    let pods = world.pod_cidr();
    format!(
        "*mangle\n{rules}COMMIT\n*nat\n-A POSTROUTING -o vx0 -j ACCEPT\n\
         -A POSTROUTING -s {pods} ! -d {pods} -j MASQUERADE\nCOMMIT\n"
    )
}

fn translations(world: World) -> String {
    let rules = of_each(world, |text, policy| {
        let egress_ip = world.egress_ip(policy);
        writeln!(
            text,
            "-A POSTROUTING -m set --match-set p{policy} src -j SNAT --to-source {egress_ip}"
        )
    });
    format!("*nat\n{rules}COMMIT\n")
}

fn of_each(world: World, line: impl Fn(&mut String, usize) -> std::fmt::Result) -> String {
    let mut text = String::new();
    for policy in 0..world.count {
        // Writing to a string cannot fail.
        let _ = line(&mut text, policy);
    }
    text
}
