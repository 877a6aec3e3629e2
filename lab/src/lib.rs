//! The lab: a Kubernetes cluster on one machine, with real packets, without root or containers.
//!
//! A real etcd, kube-apiserver and kube-controller-manager, and nodes that are network namespaces on
//! a bridge, each with the real agent. The lab plays what needs containers: kubelet, scheduler and CNI.
//! [`isolation`] builds the walls, [`supervisor`] is the life inside, [`control`] is how commands
//! speak to it, [`topology`] says who is where. Nothing of a lab outlives its first process.
//!
//! Never used by Egret's own processes, and never decides anything for them.
#![forbid(unsafe_code)]

pub mod cluster;
pub mod containment;
pub mod control;
pub mod control_plane;
pub mod credentials;
pub mod echo;
pub mod endpoints;
pub mod family;
pub mod home;
pub mod isolation;
pub mod kubelet;
pub mod manifests;
pub mod namespace;
pub mod netns;
pub mod node;
pub mod offers;
pub mod partition;
pub mod process;
pub mod readiness;
pub mod request;
pub mod sandbox;
pub mod scheduler;
pub mod spec;
pub mod stray;
pub mod stream;
pub mod supervisor;
pub mod topology;
pub mod underlay;
