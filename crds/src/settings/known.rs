//! The keys that the two documents may have.
//!
//! Owns their names, up to Antrea 2.6 and including those that it has given up. Never a value. What lies below a key that
//! does not concern Egret is not looked at.

use super::{AGENT, CONTROLLER};

/// A document and its keys.
pub(super) struct Document {
    pub(super) name: &'static str,
    pub(super) keys: &'static [Key],
}

/// A key and what it is for.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) known: Known,
}

/// What a key is for.
#[derive(Clone, Copy)]
pub(super) enum Known {
    /// Antrea's affair.
    Ignored,
    /// More keys.
    Section(&'static [Key]),
    /// Whether there is Egress at all.
    Gate,
    /// Destinations without.
    ExceptCidrs,
    /// How many a node may hold.
    MaxEgressIps,
    /// Whether its source ports are random.
    RandomPorts,
    /// Whether all source ports are.
    AllRandomPorts,
}

const fn ignored(name: &'static str) -> Key {
    Key {
        name,
        known: Known::Ignored,
    }
}

const fn key(name: &'static str, known: Known) -> Key {
    Key { name, known }
}

pub(super) const DOCUMENTS: [Document; 2] = [
    Document {
        name: AGENT,
        keys: AGENT_KEYS,
    },
    Document {
        name: CONTROLLER,
        keys: CONTROLLER_KEYS,
    },
];

/// What else Antrea keeps in the same `ConfigMap`.
pub(super) const OTHER_DOCUMENTS: [&str; 4] = [
    "antrea-cni.conflist",
    "antrea-ovs.conf",
    "antrea-tweaker.conf",
    "antrea-cluster-identity.conf",
];

const CONTROLLER_KEYS: &[Key] = &[
    key("featureGates", Known::Section(GATES)),
    ignored("clientConnection"),
    ignored("apiPort"),
    ignored("enablePrometheusMetrics"),
    ignored("selfSignedCert"),
    ignored("tlsCipherSuites"),
    ignored("tlsMinVersion"),
    ignored("legacyCRDMirroring"),
    ignored("nodeIPAM"),
    ignored("ipsecCSRSigner"),
    ignored("multicluster"),
];

const AGENT_KEYS: &[Key] = &[
    key("featureGates", Known::Section(GATES)),
    key("egress", Known::Section(EGRESS)),
    key("snatFullyRandomPorts", Known::AllRandomPorts),
    ignored("cniSocket"),
    ignored("clientConnection"),
    ignored("antreaClientConnection"),
    ignored("ovsBridge"),
    ignored("ovsDatapathType"),
    ignored("ovsRunDir"),
    ignored("hostGateway"),
    ignored("trafficEncapMode"),
    ignored("noSNAT"),
    ignored("tunnelType"),
    ignored("tunnelPort"),
    ignored("tunnelCsum"),
    ignored("defaultMTU"),
    ignored("mtuDeduction"),
    ignored("packetInRate"),
    ignored("hostProcPathPrefix"),
    ignored("serviceCIDR"),
    ignored("serviceCIDRv6"),
    ignored("enableIPSecTunnel"),
    ignored("trafficEncryptionMode"),
    ignored("ipsec"),
    ignored("wireGuard"),
    ignored("enableBridgingMode"),
    ignored("disableTXChecksumOffload"),
    ignored("apiPort"),
    ignored("clusterPort"),
    ignored("enablePrometheusMetrics"),
    ignored("flowExporter"),
    ignored("flowCollectorAddr"),
    ignored("flowPollInterval"),
    ignored("activeFlowExportTimeout"),
    ignored("idleFlowExportTimeout"),
    ignored("nodePortLocal"),
    ignored("nplPortRange"),
    ignored("kubeAPIServerOverride"),
    ignored("dnsServerOverride"),
    ignored("fqdnCacheMinTTL"),
    ignored("tlsCipherSuites"),
    ignored("tlsMinVersion"),
    ignored("transportInterface"),
    ignored("transportInterfaceCIDRs"),
    ignored("multicast"),
    ignored("multicastInterfaces"),
    ignored("antreaProxy"),
    ignored("multicluster"),
    ignored("secondaryNetwork"),
    ignored("externalNode"),
    ignored("nodeType"),
    ignored("agentRole"),
    ignored("auditLogging"),
    ignored("hostNetworkAcceleration"),
    ignored("hostNetworkMode"),
];

const EGRESS: &[Key] = &[
    key("exceptCIDRs", Known::ExceptCidrs),
    key("maxEgressIPsPerNode", Known::MaxEgressIps),
    key("snatFullyRandomPorts", Known::RandomPorts),
    ignored("uniqueMACForSubInterfaces"),
];

const GATES: &[Key] = &[
    key("Egress", Known::Gate),
    ignored("AllAlpha"),
    ignored("AllBeta"),
    ignored("AdminNetworkPolicy"),
    ignored("AntreaIPAM"),
    ignored("AntreaPolicy"),
    ignored("AntreaProxy"),
    ignored("BGPPolicy"),
    ignored("CleanupStaleUDPSvcConntrack"),
    ignored("EgressSeparateSubnet"),
    ignored("EgressTrafficShaping"),
    ignored("EndpointSlice"),
    ignored("ExternalNode"),
    ignored("FlowExporter"),
    ignored("IPsecCertAuth"),
    ignored("L7FlowExporter"),
    ignored("L7NetworkPolicy"),
    ignored("LoadBalancerModeDSR"),
    ignored("Multicast"),
    ignored("Multicluster"),
    ignored("NFTablesHostNetworkMode"),
    ignored("NetworkPolicyStats"),
    ignored("NodeIPAM"),
    ignored("NodeLatencyMonitor"),
    ignored("NodeNetworkPolicy"),
    ignored("NodePortLocal"),
    ignored("PacketCapture"),
    ignored("PreferSameTrafficDistribution"),
    ignored("SecondaryNetwork"),
    ignored("ServiceExternalIP"),
    ignored("ServiceTrafficDistribution"),
    ignored("SupportBundleCollection"),
    ignored("TopologyAwareHints"),
    ignored("Traceflow"),
    ignored("TrafficControl"),
];
