//! Egret in a cluster, seen from outside: kubectl, requests from Pods, what an external host sees, and faults.
//!
//! Every test has a cluster of its own. Nothing here knows what Egret is made of, but for `cleanliness`, which looks at
//! a node as an administrator does.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod cleanliness;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod families;
#[cfg(test)]
mod leadership;
#[cfg(test)]
mod least_privilege;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod liveness;
#[cfg(test)]
mod restarts;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod seed;
#[cfg(test)]
mod selectors;
#[cfg(test)]
mod stolen_token;
#[cfg(test)]
mod uninstall;
