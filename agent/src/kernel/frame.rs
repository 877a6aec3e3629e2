//! The fixed part of the datapath: nftables tables, sets and chains, as text for `nft`.
//!
//! Owns every rule and the reason for it. Rules never name a Pod or an egress IP: those are elements of the sets and
//! maps. Each rule carries the hash of its chain's hook and its own text as its comment, by which a frame that
//! somebody has changed, or that another version has made, is recognised. Never runs `nft` (see `super::nft`).
//!
//! A packet of a selected Pod passes, on the Pod's node: `entry`, (routing, DNAT), `classify`, the tunnel's route,
//! `unmarked`, `translate`, the tunnel's `into`. On the gateway: `tunnel`, the tunnel's `outof`, `entry`, `translate`,
//! `untranslated`. Where both are one node: `entry`, `translate`, `untranslated`.

use std::fmt::Write;

use xxhash_rust::xxh3::xxh3_64;

use super::settings::{Settings, TABLE, TUNNEL};

/// Bytes of an IPv4 and a TCP header without options: what a segment does not have of the MTU.
const HEADERS_BYTES: u32 = 40;

/// A family of tables in nftables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableFamily {
    /// IPv4 packets.
    Ip,
    /// Everything on one link.
    Netdev,
}

impl TableFamily {
    /// As `nft` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Netdev => "netdev",
        }
    }
}

/// A chain with its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The table's family.
    pub family: TableFamily,
    /// The chain's name.
    pub name: &'static str,
    /// Hook and priority; `None` for a chain that others jump to.
    pub hook: Option<String>,
    /// Its rules, in order.
    pub rules: Vec<String>,
}

impl Chain {
    /// The comment by which one of its rules is recognised: another hook or priority makes another rule of it.
    pub fn fingerprint(&self, rule: &str) -> String {
        let hook = self.hook.as_deref().unwrap_or_default();
        format!("{:016x}", xxh3_64(format!("{hook} {rule}").as_bytes()))
    }
}

/// A set or map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set {
    /// The table's family.
    pub family: TableFamily,
    /// `set` or `map`.
    pub kind: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The type of its elements.
    pub elements: &'static str,
}

const fn set(
    family: TableFamily,
    kind: &'static str,
    name: &'static str,
    elements: &'static str,
) -> Set {
    Set {
        family,
        kind,
        name,
        elements,
    }
}

/// The sets and maps that hold the elements.
pub const SETS: [Set; 14] = {
    use TableFamily::{Ip, Netdev};
    [
        set(Ip, "set", "except", "type ipv4_addr; flags interval;"),
        set(Ip, "set", "peers", "type ipv4_addr;"),
        set(Ip, "set", "remote", "type ipv4_addr;"),
        set(Ip, "set", "here", "type ipv4_addr;"),
        set(Ip, "map", "local", "type ipv4_addr : ipv4_addr;"),
        set(Ip, "map", "local_zone", "typeof ip saddr : ct zone;"),
        set(Ip, "set", "local_pair", "type ipv4_addr . ipv4_addr;"),
        set(Ip, "map", "gateway", "type ether_addr : ipv4_addr;"),
        set(Ip, "map", "zone", "typeof ether daddr : ct zone;"),
        set(Ip, "set", "pair", "type ether_addr . ipv4_addr;"),
        set(Ip, "set", "guarded", "type ipv4_addr;"),
        set(Ip, "set", "elsewhere", "type ipv4_addr;"),
        set(Netdev, "map", "identity", "type ipv4_addr : ether_addr;"),
        set(Netdev, "set", "held", "type ether_addr;"),
    ]
};

/// The chains for these settings and this tunnel MTU in bytes.
pub fn chains(settings: &Settings, mtu: u32) -> Vec<Chain> {
    let mut chains = ip_chains(settings, mtu);
    chains.extend(netdev_chains(settings, TUNNEL));
    chains
}

fn ip_chain<const N: usize>(name: &'static str, hook: &str, rules: [String; N]) -> Chain {
    let hook = (!hook.is_empty()).then(|| format!("type {hook}; policy accept;"));
    Chain {
        family: TableFamily::Ip,
        name,
        hook,
        rules: rules.into(),
    }
}

fn ip_chains(settings: &Settings, mtu: u32) -> Vec<Chain> {
    let mut chains = tunnel_chains(settings).to_vec();
    chains.extend(path_chains(settings));
    chains.push(segments_chain(mtu));
    chains.push(translate_chain(*settings));
    chains.extend(guard_chains());
    chains
}

/// The tunnel's own packets.
fn tunnel_chains(Settings { tunnel_port, .. }: &Settings) -> [Chain; 2] {
    [
        // Only nodes may send here, and only from where the route to them points: a Pod may have raw sockets. What
        // is let in is not tracked, or the gateway's translation would match the tunnel's own packets.
        ip_chain(
            "tunnel",
            "",
            [
                "ip saddr != @peers counter drop".to_owned(),
                "fib saddr . iif oif missing counter drop".to_owned(),
                "notrack accept".to_owned(),
            ],
        ),
        ip_chain(
            "outer",
            "filter hook output priority -310",
            [format!("udp dport {tunnel_port} oifname != \"lo\" notrack")],
        ),
    ]
}

/// Where a selected Pod's packet is told from others.
fn path_chains(
    Settings {
        mark_bit,
        tunnel_port,
        source_zone,
        ..
    }: &Settings,
) -> [Chain; 2] {
    [
        // Before conntrack, which translates a flow once and for all: what is to be translated otherwise has its
        // originals in another zone, and so is another flow. A zone for each egress IP on its gateway, one for what goes
        // into the tunnel, none for what no Egress selects. Nor do a flow's two sides on one node share a tuple then.
        ip_chain(
            "entry",
            "filter hook prerouting priority -310",
            [
                format!("udp dport {tunnel_port} fib daddr type local jump tunnel"),
                format!("iifname \"{TUNNEL}\" ct original zone set ether daddr map @zone"),
                "ip saddr @here ip daddr != @except ct original zone set ip saddr map @local_zone"
                    .to_owned(),
                format!(
                    "iifname != \"{TUNNEL}\" ip saddr @remote ip daddr != @except \
                     ct original zone set {source_zone}"
                ),
            ],
        ),
        // After DNAT: a Service whose endpoints are outside counts as outside. One bit, the others stay.
        ip_chain(
            "classify",
            "filter hook prerouting priority -90",
            [format!(
                "iifname != \"{TUNNEL}\" ip saddr @remote ip daddr != @except ct direction original \
             meta mark set meta mark or {mark_bit:#x}"
            )],
        ),
    ]
}

/// The outside learns from the SYN, and the Pod from the SYN-ACK, what fits into the tunnel.
fn segments_chain(mtu: u32) -> Chain {
    let segment = mtu.saturating_sub(HEADERS_BYTES);
    let syn = "tcp flags & (syn | rst) == syn";
    ip_chain(
        "segments",
        "filter hook forward priority -150",
        [
            format!("oifname \"{TUNNEL}\" {syn} tcp option maxseg size set rt mtu"),
            format!(
                "ip daddr @remote ct direction reply {syn} tcp option maxseg size set {segment}"
            ),
        ],
    )
}

/// Before anybody else's translation: the first that sets a binding wins. Into the tunnel the binding changes nothing,
/// so that no masquerade rule applies there.
fn translate_chain(Settings { random_ports, .. }: Settings) -> Chain {
    // Else a port that is free stays as it is.
    let ports = if random_ports { " fully-random" } else { "" };
    ip_chain(
        "translate",
        "nat hook postrouting priority 90",
        [
            format!("oifname \"{TUNNEL}\" snat to ip saddr"),
            format!("iifname \"{TUNNEL}\" snat to ether daddr map @gateway{ports}"),
            format!("ip daddr != @except snat to ip saddr map @local{ports}"),
        ],
    )
}

/// What is dropped, before conntrack confirms the flow: a flow that was confirmed with a wrong address keeps it.
fn guard_chains() -> [Chain; 4] {
    let each = |packets: String| {
        ["ct direction original", "ct state invalid,untracked"]
            .map(|kind| format!("{packets} {kind} counter drop"))
    };
    let remote = format!("oifname != \"{TUNNEL}\" ip saddr @remote ip daddr != @except");
    [
        // A pooled egress IP is for leaving: what matches no flow is dropped, never reset.
        ip_chain(
            "inbound",
            "filter hook input priority -10",
            each("ip daddr @guarded".to_owned()),
        ),
        // The same where it is not: a neighbour has not learnt yet that it moved. Before routing, which would pass it on
        // or answer with a redirect. Replies to Pods of this node are not for the egress IP any more, after DNAT.
        ip_chain(
            "stray",
            "filter hook prerouting priority -95",
            each("ip daddr @elsewhere fib daddr type != local".to_owned()),
        ),
        // A selected Pod's packet that would leave here untunnelled.
        ip_chain(
            "unmarked",
            "filter hook postrouting priority 80",
            each(remote),
        ),
        // A packet that should have its egress IP by now: one that has none, has been masqueraded by others, or goes on
        // with another egress IP because the two share a zone.
        ip_chain(
            "untranslated",
            "filter hook postrouting priority 200",
            [
                format!(
                    "iifname \"{TUNNEL}\" ct state != untracked ether daddr . ip saddr != @pair counter drop"
                ),
                // The tunnel's own outer packets are untracked too, and seem to come in where their inner ones go out.
                format!(
                    "iifname \"{TUNNEL}\" ct state untracked fib saddr type != local counter drop"
                ),
                "ct original ip saddr @here ip daddr != @except ct direction original \
             ct original ip saddr . ip saddr != @local_pair counter drop"
                    .to_owned(),
                "ip saddr @here ip daddr != @except ct state invalid,untracked counter drop"
                    .to_owned(),
            ],
        ),
    ]
}

fn netdev_chains(settings: &Settings, link: &str) -> Vec<Chain> {
    let others = !settings.mark_bit;
    let chain = |name, hook: &str, rules: Vec<String>| Chain {
        family: TableFamily::Netdev,
        name,
        hook: Some(format!(
            "type filter hook {hook} device \"{link}\" priority 0; policy accept;"
        )),
        rules,
    };
    vec![
        // With the bit still set the outer packet would take the tunnel's route for ever.
        chain(
            "into",
            "egress",
            vec![
                format!("meta mark set meta mark and {others:#x}"),
                "ether daddr set ip saddr map @identity".to_owned(),
            ],
        ),
        // An identity that this node does not hold: its gateway is elsewhere, or not ready yet.
        chain(
            "outof",
            "ingress",
            vec![
                "ether daddr != @held counter drop".to_owned(),
                "meta pkttype set host".to_owned(),
            ],
        ),
    ]
}

/// A ruleset of which the kernel can tell whether it could load it, without Egret's link.
pub fn probe(settings: &Settings) -> String {
    let mut chains = ip_chains(settings, 1500);
    chains.extend(netdev_chains(settings, "lo"));
    text(&chains)
}

/// The commands that make the frame anew, empty, in place of whatever stands under its name.
pub fn text(chains: &[Chain]) -> String {
    let mut text = remove();
    for family in [TableFamily::Ip, TableFamily::Netdev] {
        push(
            &mut text,
            format_args!("add table {} {TABLE}", family.as_str()),
        );
    }
    for Set {
        family,
        kind,
        name,
        elements,
    } in SETS
    {
        let family = family.as_str();
        push(
            &mut text,
            format_args!("add {kind} {family} {TABLE} {name} {{ {elements} }}"),
        );
    }
    for chain in chains {
        push_chain(&mut text, chain);
    }
    text
}

/// The commands that remove the frame and all elements in it, whether it is there or not.
pub fn remove() -> String {
    let mut text = String::new();
    for family in [TableFamily::Ip, TableFamily::Netdev] {
        // Adding first: deleting what is not there is an error.
        push(
            &mut text,
            format_args!("add table {} {TABLE}", family.as_str()),
        );
        push(
            &mut text,
            format_args!("delete table {} {TABLE}", family.as_str()),
        );
    }
    text
}

fn push_chain(text: &mut String, chain: &Chain) {
    let (family, name) = (chain.family.as_str(), chain.name);
    let hook = chain.hook.as_ref().map(|hook| format!(" {{ {hook} }}"));
    let hook = hook.unwrap_or_default();
    push(
        text,
        format_args!("add chain {family} {TABLE} {name}{hook}"),
    );
    for rule in &chain.rules {
        let mark = chain.fingerprint(rule);
        push(
            text,
            format_args!("add rule {family} {TABLE} {name} {rule} comment \"{mark}\""),
        );
    }
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests;
