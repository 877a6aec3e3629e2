//! The fixed part of the datapath: nftables tables, sets and chains, as text for `nft`.
//!
//! Owns every rule and the reason for it. Rules never name a Pod or an egress IP: those are elements of the sets and
//! maps. IPv4 and IPv6 have a table each with the same rules but for a few words, and one more for neighbour discovery,
//! of which the IPv4 table sees nothing (ARP). Each rule carries the hash of its chain's hook and its own text as its
//! comment, by which a frame that somebody has changed, or that another version has made, is recognised. Never runs
//! `nft` (see `super::nft`).
//!
//! A packet of a selected Pod passes, on the Pod's node: `entry`, (routing, DNAT), `classify`, the tunnel's route,
//! `unmarked`, `translate`, the tunnel's `into`. On the gateway: `tunnel`, the tunnel's `outof`, `entry`, `translate`,
//! `untranslated`. Where both are one node: `entry`, `translate`, `untranslated`.

use std::fmt::Write;

use egret_domain::net::Family;
use xxhash_rust::xxh3::xxh3_64;

use super::settings::{Settings, TABLE, TUNNEL};

/// A family of tables in nftables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableFamily {
    /// IPv4 packets.
    Ip,
    /// IPv6 packets.
    Ip6,
    /// Everything on one link.
    Netdev,
}

impl TableFamily {
    /// As `nft` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Netdev => "netdev",
        }
    }

    /// The tables that there are where these families are served.
    pub fn of(families: &[Family]) -> impl Iterator<Item = Self> + '_ {
        let own = families.iter().map(|family| Self::from(*family));
        own.chain([Self::Netdev])
    }

    /// Every table that there may be.
    const ALL: [Self; 3] = [Self::Ip, Self::Ip6, Self::Netdev];
}

impl From<Family> for TableFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::Ip,
            Family::V6 => Self::Ip6,
        }
    }
}

/// Of which family a rule, a set or the elements in it are.
trait Words {
    /// The type of an address.
    fn address(self) -> &'static str;
    /// Bytes of an IP and a TCP header without options: what a segment does not have of the MTU.
    fn headers_bytes(self) -> u32;
}

impl Words for Family {
    fn address(self) -> &'static str {
        match self {
            Self::V4 => "ipv4_addr",
            Self::V6 => "ipv6_addr",
        }
    }

    fn headers_bytes(self) -> u32 {
        match self {
            Self::V4 => 40,
            Self::V6 => 60,
        }
    }
}

/// The map in which a Pod's identity is: on the tunnel's link packets of both families meet.
pub(super) const fn identities(family: Family) -> &'static str {
    match family {
        Family::V4 => "identity",
        Family::V6 => "identity6",
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The table's family.
    pub family: TableFamily,
    /// `set` or `map`.
    pub kind: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The type of its elements.
    pub elements: String,
}

/// The sets and maps that hold the elements, where these families are served.
pub fn sets(families: &[Family]) -> Vec<Set> {
    let held = Set {
        family: TableFamily::Netdev,
        kind: "set",
        name: "held",
        elements: "type ether_addr;".to_owned(),
    };
    let own = families.iter().flat_map(|family| sets_of(*family));
    own.chain([held]).collect()
}

fn sets_of(family: Family) -> Vec<Set> {
    let (table, address) = (TableFamily::from(family), family.address());
    let ip = table.as_str();
    let set = |family, kind, name, elements| Set {
        family,
        kind,
        name,
        elements,
    };
    let own = [
        ("set", "except", format!("type {address}; flags interval;")),
        ("set", "peers", format!("type {address};")),
        ("set", "remote", format!("type {address};")),
        ("set", "here", format!("type {address};")),
        ("map", "local", format!("type {address} : {address};")),
        ("map", "local_zone", format!("typeof {ip} saddr : ct zone;")),
        ("set", "local_pair", format!("type {address} . {address};")),
        ("map", "gateway", format!("type ether_addr : {address};")),
        ("map", "zone", "typeof ether daddr : ct zone;".to_owned()),
        ("set", "pair", format!("type ether_addr . {address};")),
        ("set", "guarded", format!("type {address};")),
        ("set", "elsewhere", format!("type {address};")),
    ];
    let of_identities = format!("type {address} : ether_addr;");
    own.into_iter()
        .map(|(kind, name, elements)| set(table, kind, name, elements))
        .chain([set(
            TableFamily::Netdev,
            "map",
            identities(family),
            of_identities,
        )])
        .collect()
}

/// The chains for these families and settings, and this tunnel MTU in bytes.
pub fn chains(families: &[Family], settings: &Settings, mtu: u32) -> Vec<Chain> {
    chains_on(TUNNEL, families, settings, mtu)
}

fn chains_on(link: &str, families: &[Family], settings: &Settings, mtu: u32) -> Vec<Chain> {
    let own = families
        .iter()
        .flat_map(|family| ip_chains(*family, settings, mtu));
    own.chain(netdev_chains(link, families, settings)).collect()
}

/// A chain of the table of a family; rules say `ip` for the header of either.
fn ip_chain(
    family: Family,
    name: &'static str,
    hook: &str,
    rules: impl IntoIterator<Item = String>,
) -> Chain {
    let hook = (!hook.is_empty()).then(|| format!("type {hook}; policy accept;"));
    let rules = rules.into_iter().map(|rule| in_words_of(family, &rule));
    Chain {
        family: family.into(),
        name,
        hook,
        rules: rules.collect(),
    }
}

fn in_words_of(family: Family, rule: &str) -> String {
    let header = TableFamily::from(family).as_str();
    let words = rule.split(' ');
    let words: Vec<_> = words
        .map(|word| if word == "ip" { header } else { word })
        .collect();
    words.join(" ")
}

fn ip_chains(family: Family, settings: &Settings, mtu: u32) -> Vec<Chain> {
    let mut chains = tunnel_chains(family, settings).to_vec();
    chains.extend(path_chains(family, settings));
    chains.push(segments_chain(family, mtu));
    chains.push(translate_chain(family, *settings));
    chains.extend(guard_chains(family));
    chains
}

/// The tunnel's own packets.
fn tunnel_chains(family: Family, Settings { tunnel_port, .. }: &Settings) -> [Chain; 2] {
    [
        // Only nodes may send here, and only from where the route to them points: a Pod may have raw sockets. What
        // is let in is not tracked, or the gateway's translation would match the tunnel's own packets.
        ip_chain(
            family,
            "tunnel",
            "",
            [
                "ip saddr != @peers counter drop".to_owned(),
                "fib saddr . iif oif missing counter drop".to_owned(),
                "notrack accept".to_owned(),
            ],
        ),
        ip_chain(
            family,
            "outer",
            "filter hook output priority -310",
            [format!("udp dport {tunnel_port} oifname != \"lo\" notrack")],
        ),
    ]
}

/// Where a selected Pod's packet is told from others.
fn path_chains(
    family: Family,
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
            family,
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
            family,
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
fn segments_chain(family: Family, mtu: u32) -> Chain {
    let segment = mtu.saturating_sub(family.headers_bytes());
    let syn = "tcp flags & (syn | rst) == syn";
    ip_chain(
        family,
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
fn translate_chain(family: Family, Settings { random_ports, .. }: Settings) -> Chain {
    // Else a port that is free stays as it is.
    let ports = if random_ports { " fully-random" } else { "" };
    ip_chain(
        family,
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
fn guard_chains(family: Family) -> [Chain; 4] {
    let each = |packets: String| {
        ["ct direction original", "ct state invalid,untracked"]
            .map(|kind| format!("{packets} {kind} counter drop"))
    };
    let remote = format!("oifname != \"{TUNNEL}\" ip saddr @remote ip daddr != @except");
    // Neighbours ask whether the egress IP is still here, in packets that are never tracked.
    let discovery = (family == Family::V6).then(|| {
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } accept"
            .to_owned()
    });
    let inbound = each("ip daddr @guarded".to_owned());
    [
        // A pooled egress IP is for leaving: what matches no flow is dropped, never reset.
        ip_chain(
            family,
            "inbound",
            "filter hook input priority -10",
            discovery.into_iter().chain(inbound),
        ),
        // The same where it is not: a neighbour has not learnt yet that it moved. Before routing, which would pass it on
        // or answer with a redirect. Replies to Pods of this node are not for the egress IP any more, after DNAT.
        ip_chain(
            family,
            "stray",
            "filter hook prerouting priority -95",
            each("ip daddr @elsewhere fib daddr type != local".to_owned()),
        ),
        // A selected Pod's packet that would leave here untunnelled.
        ip_chain(
            family,
            "unmarked",
            "filter hook postrouting priority 80",
            each(remote),
        ),
        // A packet that should have its egress IP by now: one that has none, has been masqueraded by others, or goes on
        // with another egress IP because the two share a zone.
        ip_chain(
            family,
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

fn netdev_chains(link: &str, families: &[Family], settings: &Settings) -> Vec<Chain> {
    let others = !settings.mark_bit;
    let chain = |name, hook: &str, rules: Vec<String>| Chain {
        family: TableFamily::Netdev,
        name,
        hook: Some(format!(
            "type filter hook {hook} device \"{link}\" priority 0; policy accept;"
        )),
        rules,
    };
    let named = families.iter().map(|family| {
        let header = TableFamily::from(*family).as_str();
        format!(
            "ether daddr set {header} saddr map @{}",
            identities(*family)
        )
    });
    let clear = format!("meta mark set meta mark and {others:#x}");
    vec![
        // With the bit still set the outer packet would take the tunnel's route for ever.
        chain("into", "egress", [clear].into_iter().chain(named).collect()),
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
pub fn probe(families: &[Family], settings: &Settings) -> String {
    text(families, &chains_on("lo", families, settings, 1500))
}

/// The commands that make the frame of these families anew, empty, in place of whatever stands under its name.
pub fn text(families: &[Family], chains: &[Chain]) -> String {
    let mut text = remove();
    for table in TableFamily::of(families) {
        push(
            &mut text,
            format_args!("add table {} {TABLE}", table.as_str()),
        );
    }
    for Set {
        family,
        kind,
        name,
        elements,
    } in sets(families)
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
    for table in TableFamily::ALL.map(TableFamily::as_str) {
        // Adding first: deleting what is not there is an error.
        push(&mut text, format_args!("add table {table} {TABLE}"));
        push(&mut text, format_args!("delete table {table} {TABLE}"));
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
