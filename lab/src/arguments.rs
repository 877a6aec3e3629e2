//! The lab's command line. The text of `--help` is the lab's manual.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use egret_lab::family::Families;
use egret_lab::spec::{LabName, Masquerade};
use egret_lab::topology::{Endpoint, NameError, NodeId, PodKey, Target};

const EXAMPLE: &str = "A first session:
  hack/lab up
  hack/lab pod web --node node-1 -n shop -l app=web
  hack/lab curl shop/web                 # 10.10.0.101: the address of the Pod's node
  hack/lab kubectl apply -f pool-and-egress.yaml
  hack/lab curl shop/web                 # the egress IP
  hack/lab stream shop/web --live &      # and see what a power cut does to it
  hack/lab node off node-2
  hack/lab down";

/// A Kubernetes cluster on this machine: a real API server, nodes as network namespaces, real packets.
///
/// Standard output is only what was asked for; progress and errors go to standard error. A failed
/// command exits non-zero; exec and kubectl exit as their command did. Several labs run side by side.
///
/// The underlay is 10.10.0.0/16: node-1 is 10.10.0.101, node-2 is 10.10.0.102 and so on; the API
/// server and router is 10.10.0.1; the external host `ext` is 10.10.0.200 and answers HTTP requests
/// on port 8080 with the client's address. Pods of node-1 are in 10.244.1.0/24 and so on.
///
/// With `--family ipv6` or `dual`: `fd10::/64`, `fd10::101` and so on, `fd10::1`, `fd10::200` and `fd24:0:0:1::/64`. In a
/// lab of both, IPv4 is the primary family, and what prints an address prints both.
#[derive(Debug, Parser)]
#[command(name = "hack/lab", bin_name = "hack/lab", max_term_width = 100, after_long_help = EXAMPLE)]
pub(crate) struct Arguments {
    /// Which lab.
    #[arg(long, env = "EGRET_LAB", default_value = "default", global = true)]
    pub(crate) lab: LabName,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the lab and wait until it is ready.
    Up(Up),
    /// End the lab and leave nothing behind.
    Down,
    /// Show the lab's nodes and processes.
    Status,
    /// Make a Pod (and its namespace if missing) and print its address; or remove one: `pod rm NAME`.
    #[command(args_conflicts_with_subcommands = true)]
    Pod(Pod),
    /// Make many Pods at once.
    #[command(subcommand)]
    Pods(Pods),
    /// Request a URL from a Pod and print the answer's body; non-zero when there is none within 3 s.
    Curl(Curl),
    /// Send a steady stream of requests from a Pod and print a summary as JSON.
    ///
    /// Each request has a connection of its own and one second; requests never wait for each other.
    /// `longest_gap_ms` is the longest time between two successive answered requests, by when they
    /// were sent; `last_answered_ms` is when the last answered one was sent, since the start.
    Stream(Stream),
    /// Offer an Egress (JSON on standard input) to the API server again and again without storing it; prints how it was
    /// answered as JSON.
    Offer(Offer),
    /// Run a command in a Pod, on a node, on the external host or in the lab's root namespace.
    Exec(Exec),
    /// Cut a node's power, or switch it on again.
    #[command(subcommand)]
    Node(Node),
    /// Kill, stop, continue or restart the agent of a node.
    #[command(subcommand)]
    Agent(OnNode),
    /// Kill, stop, continue or restart the operator.
    #[command(subcommand)]
    Operator(OnReplica),
    /// Kill, stop, continue or restart the webhook; it is restarted one replica after the other.
    #[command(subcommand)]
    Webhook(OnReplica),
    /// Stop or start the API server; etcd keeps the objects.
    #[command(subcommand)]
    Apiserver(OnOff),
    /// Cut and heal the network between nodes, the external host and the API server.
    #[command(subcommand)]
    Net(Net),
    /// Show which source addresses the external host has seen, as lines of ADDRESS PACKETS.
    ///
    /// Every packet that reached it counts, answered or not: TCP to port 8080, and all UDP and ICMP.
    Seen {
        /// Forget them instead.
        #[arg(long)]
        reset: bool,
    },
    /// Run kubectl against the lab.
    #[command(disable_help_flag = true)]
    Kubectl {
        /// kubectl's arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Open a shell in the lab's root namespace, with KUBECONFIG set.
    Shell,
    /// Print a log: operator, webhook, agent/NODE, apiserver, audit, etcd, controller-manager, ext or lab.
    ///
    /// `operator` and `webhook` are all their replicas, one after the other; `webhook/2` is one of them. A log goes on when
    /// a Pod is replaced. `audit` is what the API server was asked by Egret's accounts.
    Logs {
        /// Which.
        #[arg(default_value = "lab")]
        process: String,
        /// Go on with what is written from now on.
        #[arg(short, long)]
        follow: bool,
    },
    /// The lab's first process.
    #[command(hide = true)]
    Init {
        /// The lab's folder.
        home: PathBuf,
    },
    /// The lab's supervisor.
    #[command(hide = true)]
    Supervise {
        /// The lab's folder.
        home: PathBuf,
    },
    /// A container of one of Egret's Pods.
    #[command(hide = true)]
    Contain {
        /// What it is.
        file: PathBuf,
    },
    /// The external host's HTTP server.
    #[command(hide = true)]
    Echo,
}

/// What the lab shall be.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=99))]
    pub(crate) nodes: u8,
    /// IP family.
    #[arg(long, value_enum, default_value_t = Families::Ipv4)]
    pub(crate) family: Families,
    /// How Pod packets travel between nodes.
    #[arg(long, value_enum, default_value_t = Cni::Routed)]
    pub(crate) cni: Cni,
    /// How nodes hide Pod addresses from the outside.
    #[arg(long, value_enum, default_value_t = Masquerade::IptablesNft)]
    pub(crate) masquerade: Masquerade,
    /// MTU of the underlay and the Pods.
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u16).range(576..=9000))]
    pub(crate) mtu: u16,
    /// Run a kube-proxy on each node.
    #[arg(long, value_enum)]
    pub(crate) kube_proxy: Option<KubeProxy>,
    /// How long the kernel keeps an egress IP without its agent.
    #[arg(long)]
    pub(crate) lease: Option<String>,
    /// Do not apply Egret's manifests, and run none of its Pods.
    #[arg(long)]
    pub(crate) without_egret: bool,
    /// Leave the webhook's Deployment out, so that objects are taken as they are: what becomes of wrong ones is then up to the rest.
    #[arg(long)]
    pub(crate) without_webhook: bool,
    /// The folder with etcd, kube-apiserver and kube-controller-manager (made by hack/tools/build).
    #[arg(long, env = "KUBEBUILDER_ASSETS")]
    pub(crate) assets: Option<PathBuf>,
    /// The folder with Egret's manifests: default/ in it is applied.
    #[arg(long, env = "EGRET_LAB_CONFIG", default_value = "config")]
    pub(crate) config: PathBuf,
    /// The folder with egret-operator, egret-webhook and egret-agent; that of this program if not given.
    #[arg(long, env = "EGRET_LAB_BIN_DIR")]
    pub(crate) binaries: Option<PathBuf>,
}

/// Kinds of CNI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cni {
    Routed,
    Overlay,
    Bridge,
}

/// Kinds of kube-proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KubeProxy {
    Iptables,
    Nftables,
}

/// Make a Pod, or remove one.
#[derive(Debug, Args)]
pub(crate) struct Pod {
    #[command(subcommand)]
    pub(crate) remove: Option<PodCommand>,
    /// Its name.
    #[arg(required = true)]
    pub(crate) name: Option<String>,
    /// Its node.
    #[arg(long, required = true)]
    pub(crate) node: Option<NodeId>,
    /// Its namespace.
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    /// Its labels: k=v,k=v.
    #[arg(short, long, value_delimiter = ',', value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PodCommand {
    /// Remove a Pod.
    Rm {
        /// Its name.
        name: String,
        /// Its namespace.
        #[arg(short, long, default_value = "default")]
        namespace: String,
    },
}

fn label(text: &str) -> Result<(String, String), String> {
    let pair = text
        .split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    pair.ok_or_else(|| format!("{text:?} is not a label: say key=value"))
}

#[derive(Debug, Subcommand)]
pub(crate) enum Pods {
    /// Make the Pods of a file and print their addresses in the same order.
    ///
    /// One line of JSON each: {"name":"a","node":"node-1","namespace":"default","labels":{"k":"v"}};
    /// namespace and labels may be left out.
    Apply {
        /// The file; - is standard input.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Curl {
    /// IPv4 only.
    #[arg(short = '4', conflicts_with = "six")]
    pub(crate) four: bool,
    /// IPv6 only.
    #[arg(short = '6')]
    pub(crate) six: bool,
    /// NAMESPACE/POD.
    pub(crate) pod: PodKey,
    /// What to request; the external host if not given.
    pub(crate) url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Offer {
    /// Offers per second.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rate: u32,
    /// For how long.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Stream {
    /// NAMESPACE/POD.
    pub(crate) pod: PodKey,
    /// Requests per second.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rate: u32,
    /// For how long.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u32,
    /// IPv6 instead of the lab's primary family.
    #[arg(short = '6')]
    pub(crate) six: bool,
    /// Tell each second's sum on standard error.
    #[arg(long)]
    pub(crate) live: bool,
    /// What to request; the external host if not given.
    pub(crate) url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// NAMESPACE/POD, node/NODE, ext or lab.
    pub(crate) target: Target,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// All its processes end at once and its links go down; nothing is cleaned up.
    Off {
        /// Which node.
        node: NodeId,
    },
    /// It boots: empty kernel state, the same Pods, its processes started.
    On {
        /// Which node.
        node: NodeId,
    },
}

/// What to do with the process of a node.
#[derive(Debug, Subcommand)]
pub(crate) enum OnNode {
    /// SIGKILL; started again after a back-off of 0.1 s to 5 s.
    Kill {
        /// Whose.
        node: NodeId,
        /// Keep it down until `restart`.
        #[arg(long)]
        stay: bool,
    },
    /// SIGSTOP.
    Stop {
        /// Whose.
        node: NodeId,
    },
    /// SIGCONT.
    Cont {
        /// Whose.
        node: NodeId,
    },
    /// SIGTERM, then a new one at once.
    Restart {
        /// Whose.
        node: NodeId,
    },
}

/// What to do with a replica.
#[derive(Debug, Subcommand)]
pub(crate) enum OnReplica {
    /// SIGKILL; started again after a back-off of 0.1 s to 5 s.
    Kill {
        /// Which replica; all if not given.
        replica: Option<u8>,
        /// Keep it down until `restart`.
        #[arg(long)]
        stay: bool,
    },
    /// SIGSTOP.
    Stop {
        /// Which replica; all if not given.
        replica: Option<u8>,
    },
    /// SIGCONT.
    Cont {
        /// Which replica; all if not given.
        replica: Option<u8>,
    },
    /// SIGTERM, then a new one at once.
    Restart {
        /// Which replica; all if not given.
        replica: Option<u8>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum OnOff {
    /// End it.
    Stop,
    /// Start it and wait until it answers.
    Start,
}

/// Endpoints are node-N, ext and api.
#[derive(Debug, Subcommand)]
pub(crate) enum Net {
    /// Cut endpoints from all others, or two sets from each other.
    Cut(Sides),
    /// Connect them again; without arguments, everything.
    Heal(Sides),
    /// A node's cable to the outside: ext and the router, not the other nodes nor the API.
    #[command(subcommand)]
    Uplink(Uplink),
}

/// Endpoints with commas between them.
#[derive(Debug, Clone)]
pub(crate) struct Endpoints(pub(crate) Vec<Endpoint>);

impl FromStr for Endpoints {
    type Err = NameError;

    fn from_str(list: &str) -> Result<Self, NameError> {
        list.split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Sides {
    /// Who is cut off.
    #[arg(value_name = "A,B")]
    pub(crate) from: Option<Endpoints>,
    /// From whom; from everybody else if not given.
    #[arg(value_name = "C,D")]
    pub(crate) to: Option<Endpoints>,
    /// Only what the first set says to the second.
    #[arg(long)]
    pub(crate) one_way: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Uplink {
    /// Pull it out.
    Down {
        /// Whose.
        node: NodeId,
    },
    /// Plug it in.
    Up {
        /// Whose.
        node: NodeId,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_partition_is_read_from_lists_with_commas() {
        let line = ["lab", "net", "cut", "node-1,node-2", "ext,api", "--one-way"];
        let arguments = Arguments::try_parse_from(line).unwrap();
        let Command::Net(Net::Cut(Sides { from, to, one_way })) = arguments.command else {
            panic!("not a cut");
        };
        assert_eq!(
            (from.unwrap().0.len(), to.unwrap().0.len(), one_way),
            (2, 2, true)
        );
    }

    #[test]
    fn a_pod_is_made_or_removed() {
        let make = ["lab", "pod", "a", "--node", "node-1", "-l", "x=1,y=2"];
        let Command::Pod(pod) = Arguments::try_parse_from(make).unwrap().command else {
            panic!("not a Pod");
        };
        assert_eq!((pod.labels.len(), pod.remove.is_none()), (2, true));
        let remove = ["lab", "pod", "rm", "a", "-n", "shop"];
        let Command::Pod(pod) = Arguments::try_parse_from(remove).unwrap().command else {
            panic!("not a Pod");
        };
        assert!(
            matches!(pod.remove, Some(PodCommand::Rm { namespace, .. }) if namespace == "shop")
        );
        assert!(Arguments::try_parse_from(["lab", "pod", "a"]).is_err());
    }
}
