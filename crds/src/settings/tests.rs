//! The configuration, right and wrong.

use proptest::prelude::*;

use super::*;

fn documents(controller: &str, agent: &str) -> Documents {
    let named = [(CONTROLLER, controller), (AGENT, agent)];
    named.map(|(name, text)| (name.into(), text.into())).into()
}

fn agent(text: &str) -> Result<Reading, Problems> {
    read(&Documents::from([(AGENT.to_owned(), text.to_owned())]))
}

/// What is wrong with the agent's document, each in one line.
fn wrong(text: &str) -> Vec<String> {
    let problems = agent(text).unwrap_err();
    problems
        .as_slice()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn nothing_written_is_the_defaults() {
    let empty = "# egress:\n#   exceptCIDRs: []\n";
    for text in [
        "",
        "\n",
        "---\n",
        "{}",
        "null",
        empty,
        "featureGates:\negress:\n",
    ] {
        let reading = agent(text).unwrap_or_else(|problems| panic!("{text:?}: {problems}"));
        assert_eq!(reading, Reading::default(), "{text:?}");
    }
    assert_eq!(read(&Documents::new()).unwrap(), Reading::default());
}

#[test]
fn the_sample_of_a_cluster_with_antrea_is_read() {
    let gates = "featureGates:\n  Egress: true\n";
    assert_eq!(read(&documents(gates, gates)).unwrap(), Reading::default());
}

#[test]
fn every_key_of_egrets_is_read() {
    let text = "featureGates: {Egress: false}\n\
                egress:\n  exceptCIDRs:\n  - 10.1.2.3/8\n  - fd00::/8\n  - 10.0.0.0/8\n  \
                maxEgressIPsPerNode: 10000\n  snatFullyRandomPorts: true\n";
    let Settings {
        enabled,
        except_cidrs,
        max_egress_ips_per_node,
        snat_fully_random_ports,
    } = agent(text).unwrap().settings;
    let networks: Vec<_> = except_cidrs.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/8", "fd00::/8"]);
    assert_eq!(
        (enabled, max_egress_ips_per_node, snat_fully_random_ports),
        (false, 10_000, true)
    );
}

#[test]
fn one_document_is_enough_to_turn_it_off() {
    let [on, off, silent] =
        ["true", "false", "null"].map(|gate| format!("featureGates: {{Egress: {gate}}}"));
    for (controller, agent, enabled) in [
        (&on, &on, true),
        (&off, &on, false),
        (&on, &off, false),
        (&off, &silent, false),
        (&silent, &on, true),
    ] {
        let reading = read(&documents(controller, agent)).unwrap();
        assert_eq!(reading.settings.enabled, enabled, "{controller} {agent}");
    }
}

#[test]
fn random_ports_are_inherited_unless_said_otherwise() {
    for (text, random) in [
        ("snatFullyRandomPorts: true", true),
        (
            "snatFullyRandomPorts: true\negress: {snatFullyRandomPorts: false}",
            false,
        ),
        (
            "snatFullyRandomPorts: false\negress: {snatFullyRandomPorts: true}",
            true,
        ),
        (
            "snatFullyRandomPorts: true\negress: {snatFullyRandomPorts: }",
            true,
        ),
    ] {
        let settings = agent(text).unwrap().settings;
        assert_eq!(settings.snat_fully_random_ports, random, "{text}");
    }
}

#[test]
fn no_limit_is_the_usual_one_as_with_antrea() {
    for (written, limit) in [("0", 255), ("1", 1), ("255", 255), ("256", 256)] {
        let settings = agent(&format!("egress: {{maxEgressIPsPerNode: {written}}}"))
            .unwrap()
            .settings;
        assert_eq!(settings.max_egress_ips_per_node, limit);
    }
}

/// What is written, and what is told of it.
const WRONG: &[(&str, &str)] = &[
    (
        "egress: {maxEgressIPsPerNode: 10001}",
        "antrea-agent.conf: egress.maxEgressIPsPerNode: \"10001\" is not possible: write a number from 1 to 10000, or 0 for 255",
    ),
    (
        "egress: {maxEgressIPsPerNode: -1}",
        "antrea-agent.conf: egress.maxEgressIPsPerNode: \"-1\" is not possible: write a number from 1 to 10000, or 0 for 255",
    ),
    (
        "egress: {maxEgressIPsPerNode: \"12\"}",
        "antrea-agent.conf: egress.maxEgressIPsPerNode: \"12\" is not possible: write a number from 1 to 10000, or 0 for 255",
    ),
    (
        "egress: {maxEgressIPsPerNode: 1.5}",
        "antrea-agent.conf: egress.maxEgressIPsPerNode: \"1.5\" is not possible: write a number from 1 to 10000, or 0 for 255",
    ),
    (
        "egress: {exceptCIDRs: [10.0.0.0/8, 10.0.0.0/33]}",
        "antrea-agent.conf: egress.exceptCIDRs[1]: \"10.0.0.0/33\" is not a network: write ADDRESS/PREFIX, such as 10.0.0.0/8 or fd00::/8",
    ),
    (
        "egress: {exceptCIDRs: [10]}",
        "antrea-agent.conf: egress.exceptCIDRs[0]: \"10\" is not a network: write ADDRESS/PREFIX, such as 10.0.0.0/8 or fd00::/8",
    ),
    (
        "egress: {exceptCIDRs: 10.0.0.0/8}",
        "antrea-agent.conf: egress.exceptCIDRs: \"10.0.0.0/8\" is no list: write [10.0.0.0/8], or each network on a line of its own after a dash",
    ),
    (
        "egress: {snatFullyRandomPorts: \"yes\"}",
        "antrea-agent.conf: egress.snatFullyRandomPorts: \"yes\" is no truth value: write true or false",
    ),
    (
        "featureGates: {Egress: \"true\"}",
        "antrea-agent.conf: featureGates.Egress: \"true\" is no truth value: write true or false",
    ),
    (
        "featureGates: [Egress]",
        "antrea-agent.conf: featureGates: \"[\\\"Egress\\\"]\" is no mapping: write KEY: VALUE",
    ),
    (
        "featureGates: {egress: true}",
        "antrea-agent.conf: featureGates.egress: is not known: the nearest known one is Egress",
    ),
    (
        "egress: {exceptCIDR: []}",
        "antrea-agent.conf: egress.exceptCIDR: is not known: the nearest known one is exceptCIDRs",
    ),
    (
        "egres: {}",
        "antrea-agent.conf: egres: is not known: the nearest known one is egress",
    ),
    (
        "just text",
        "antrea-agent.conf: \"just text\" is no mapping: write KEY: VALUE",
    ),
];

#[test]
fn each_problem_names_its_document_key_and_value_and_what_to_write() {
    for (text, told) in WRONG {
        assert_eq!(wrong(text), [*told], "{text}");
    }
}

#[test]
fn all_problems_of_both_documents_are_told_at_once() {
    let controller = "featureGates: {Egress: 1, Egres: true}\nselfSignedCert: true\n";
    let agent =
        "egress: {exceptCIDRs: [a, 10.0.0.0/8, b], maxEgressIPsPerNode: many}\nnonsense: 1\n";
    let problems = read(&documents(controller, agent)).unwrap_err();
    let paths: BTreeSet<_> = problems
        .as_slice()
        .iter()
        .map(|one| one.path.as_str())
        .collect();
    let expected = [
        "antrea-agent.conf: egress.exceptCIDRs[0]",
        "antrea-agent.conf: egress.exceptCIDRs[2]",
        "antrea-agent.conf: egress.maxEgressIPsPerNode",
        "antrea-agent.conf: nonsense",
        "antrea-controller.conf: featureGates.Egres",
        "antrea-controller.conf: featureGates.Egress",
    ];
    assert_eq!(paths, expected.into());
}

#[test]
fn what_only_concerns_antrea_is_accepted_as_it_is_and_listed() {
    let controller = "apiPort: 10349\nfeatureGates: {Traceflow: true}\nnodeIPAM: {whatever: [1]}\n";
    let agent = "ovsBridge: br-int\nantreaProxy: {proxyAll: true}\nwireGuard:\n";
    let reading = read(&documents(controller, agent)).unwrap();
    assert_eq!(reading.settings, Settings::default());
    let ignored: BTreeSet<_> = reading.ignored.iter().map(String::as_str).collect();
    let expected = [
        "antrea-agent.conf: antreaProxy",
        "antrea-agent.conf: ovsBridge",
        "antrea-agent.conf: wireGuard",
        "antrea-controller.conf: apiPort",
        "antrea-controller.conf: featureGates.Traceflow",
        "antrea-controller.conf: nodeIPAM",
    ];
    assert_eq!(ignored, expected.into());
}

/// Those that came with Antrea 2.5 and 2.6.
#[test]
fn keys_of_antreas_newest_releases_are_accepted() {
    let text = "featureGates: {NFTablesHostNetworkMode: true, PreferSameTrafficDistribution: true}\n\
                egress: {uniqueMACForSubInterfaces: true}\n\
                hostNetworkMode: nftables\nhostNetworkAcceleration: {enable: true}\n";
    let reading = read(&documents("", text)).unwrap();
    assert_eq!(reading.settings, Settings::default());
    assert_eq!(reading.ignored.len(), 5);
}

/// The last is one of the kubelet.
#[test]
fn gates_that_antrea_never_had_are_refused() {
    for gate in ["HostNetworkNFTables", "WindowsHostNetwork"] {
        assert!(read(&documents("", &format!("featureGates: {{{gate}: true}}"))).is_err());
    }
}

#[test]
fn a_key_in_the_wrong_document_is_sent_to_the_right_one() {
    let problems = read(&documents("egress: {exceptCIDRs: []}", "")).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "antrea-controller.conf: egress: is not known: it belongs into antrea-agent.conf"
    );
}

#[test]
fn a_document_under_a_wrong_name_is_not_overlooked() {
    let named = |name: &str| read(&Documents::from([(name.to_owned(), String::new())]));
    assert_eq!(
        named("antrea-agent.config").unwrap_err().to_string(),
        "antrea-agent.config: is not known: the nearest known one is antrea-agent.conf"
    );
    assert_eq!(
        named("antrea-cni.conflist").unwrap().ignored,
        ["antrea-cni.conflist"]
    );
}

#[test]
fn what_is_no_yaml_is_told_with_its_place() {
    for text in ["egress: [", "egress:\n\texceptCIDRs: []\n", "a: b: c"] {
        let told = wrong(text);
        assert!(
            told.len() == 1 && told[0].contains("is not YAML") && told[0].contains("line "),
            "{told:?}"
        );
    }
}

#[test]
fn a_key_that_is_written_twice_is_not_read_at_random() {
    let told = wrong("egress:\n  maxEgressIPsPerNode: 1\n  maxEgressIPsPerNode: 2\n");
    assert!(told[0].contains("duplicate"), "{told:?}");
}

#[test]
fn a_document_that_grows_when_it_is_read_is_refused() {
    let lines = ('a'..'i').zip('b'..'j').map(|(from, to)| {
        let again = vec![format!("*{from}"); 9].join(", ");
        format!("{to}: &{to} [{again}]\n")
    });
    let first = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    let bomb: String = std::iter::once(first).chain(lines).collect();
    assert!(wrong(&bomb)[0].contains("is not YAML"));
    assert!(wrong(&"#".repeat(MOST_BYTES + 1))[0].contains("is larger than"));
}

#[test]
fn no_key_is_known_twice() {
    fn unique(keys: &[Key]) {
        let names: BTreeSet<_> = keys.iter().map(|key| key.name).collect();
        assert_eq!(names.len(), keys.len());
        for key in keys {
            if let Known::Section(below) = key.known {
                unique(below);
            }
        }
    }
    for document in known::DOCUMENTS {
        unique(document.keys);
    }
}

prop_compose! {
    fn settings()(
        enabled: bool,
        networks in prop::collection::btree_set((any::<std::net::IpAddr>(), 0_u8..=32), 0..5),
        max_egress_ips_per_node in 1..=MOST_EGRESS_IPS,
        snat_fully_random_ports: bool,
    ) -> Settings {
        let except_cidrs = networks.into_iter().filter_map(|(ip, prefix)| Cidr::new(ip, prefix)).collect();
        Settings { enabled, except_cidrs, max_egress_ips_per_node, snat_fully_random_ports }
    }
}

proptest! {
    #[test]
    fn what_is_written_for_agents_is_read_by_them(settings in settings()) {
        let reading = read(&settings.documents()).unwrap();
        prop_assert_eq!(reading, Reading { settings, ignored: Vec::new() });
    }

    #[test]
    fn no_text_is_too_strange_to_be_told_about(text in "\\PC{0,60}") {
        let _ = agent(&text);
    }
}
